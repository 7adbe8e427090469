import { describe, expect, it } from 'vitest';
import { FEED_TYPES } from '../../origin-adapters/feeds/registry.ts';
import { HealthCells } from '../../proxy/feeds/health-cells.ts';
import { judge, type Judgement } from '../../proxy/store/verdict.ts';
import { FeedView, sharedFeed } from '../../proxy/feeds/shared-feed.ts';
import { FenceReader } from '../../proxy/fence/reader.ts';
import { ALL_MECHANISMS } from '../../proxy/mechanisms.ts';
import { entryOf, setClock, table, watchedWords } from '../fence/given.ts';

const FEED = { name: 'changes', maxSilenceMs: 30_000, versionField: null };

type Mode = 'hard' | 'soft';

/**
 * Judges an entry in a worker that is stopped before its step number `stop`. Meanwhile the feed, which was lost,
 * catches up: it invalidates the entry, and then renews its proof.
 */
function judgeStoppedBefore(
  stop: number,
  mode: Mode,
  mechanisms = ALL_MECHANISMS,
): Judgement & { steps: number } {
  const clock = setClock();
  const fence = table(70, { clock });
  fence.hard('other');
  const shared = sharedFeed();
  const cells = new HealthCells(shared.health);
  const view = new FeedView(FEED, shared, FEED_TYPES['sse']!, clock);
  cells.set({ state: 'lost', silentSinceMonotonicMs: clock.now - 1_000 }, clock);
  let steps = 0;
  const step = (): void => {
    if (steps === stop) {
      fence[mode]('a');
      cells.set({ state: 'live', silentSinceMonotonicMs: clock.now }, clock);
    }
    steps += 1;
  };
  const words = watchedWords(fence.words, step);
  const reader = new FenceReader(words, clock);
  steps = 0;
  const trustOf = () => {
    step();
    const trust = view.trust('revalidate');
    step();
    return trust;
  };
  const judgement = judge({ fence: reader, trustOf, mechanisms }, entryOf(['a'], 1), 'route');
  return { ...judgement, steps };
}

/** Stopped before each step, and after the last. */
function* judgements(mode: Mode, mechanisms = ALL_MECHANISMS): Generator<Judgement> {
  const { steps } = judgeStoppedBefore(-1, mode, mechanisms);
  for (let stop = 0; stop <= steps; stop += 1) yield judgeStoppedBefore(stop, mode, mechanisms);
}

const isBelieved = ({ trust, verdict }: Judgement): boolean => trust === 'live' && verdict.kind === 'clear';

describe('a worker that is stopped while it judges an entry', () => {
  it.each<Mode>(['hard', 'soft'])(
    'never combines a clear verdict from before a %s invalidation with the proof of a feed that has caught up since',
    (mode) => {
      expect([...judgements(mode)].filter(isBelieved)).toEqual([]);
    },
  );

  it('would combine them if it read the fence before the proof', () => {
    const mechanisms = { ...ALL_MECHANISMS, proofBeforeFence: false };
    expect([...judgements('hard', mechanisms)].some(isBelieved)).toBe(true);
  });

  it('counts the silence since the proof that it has read, though the proof is renewed before it reads the clock', () => {
    const clock = setClock();
    const shared = sharedFeed();
    const cells = new HealthCells(shared.health);
    cells.set({ state: 'live', silentSinceMonotonicMs: clock.now - 60_000 }, clock);
    const renewing = {
      nowMs: () => clock.nowMs(),
      monotonicMs() {
        cells.set({ state: 'live', silentSinceMonotonicMs: clock.now }, clock);
        return clock.now;
      },
    };
    expect(cells.trust(30_000, 'revalidate', renewing)).toBe('revalidate');
  });
});
