import { describe, expect, it } from 'vitest';
import { SharedWords } from '../../proxy/fence/layout.ts';
import { FenceReader, type Fenced } from '../../proxy/fence/reader.ts';
import { FenceWriter } from '../../proxy/fence/writer.ts';
import { ALL_MECHANISMS, type Mechanisms } from '../../proxy/mechanisms.ts';
import { fc } from '../support/properties.ts';
import { entryOf, recordingWords, setClock, table, watchedWords, type Store, hashTags } from './given.ts';

/** A fence before an invalidation, and the stores of that invalidation in order. */
interface Scene {
  /** The words that are not zero, by index. */
  readonly before: ReadonlyMap<number, number>;
  readonly stores: readonly Store[];
  /** An entry of the tag that is invalidated now, or was before. */
  readonly entry: () => Fenced;
}

/**
 * Judges the entry while the writer stores, and again when all stores are done. `due`: how many stores are done before
 * each load. The writer never depends on a reader, so its stores can be replayed at any pace.
 */
function judgeAmong(scene: Scene, mechanisms: Mechanisms, due: (loads: number) => number): string[] {
  const held = new Map(scene.before);
  const words = {
    load: (index: number) => held.get(index) ?? 0,
    store: (index: number, value: number) => void held.set(index, value),
  };
  let done = 0;
  const advance = (to: number): void => {
    for (; done < Math.min(to, scene.stores.length); done += 1) {
      words.store(scene.stores[done]!.index, scene.stores[done]!.value);
    }
  };
  const reader = new FenceReader(
    watchedWords(words, (loads) => advance(due(loads))),
    setClock(),
    mechanisms,
  );
  const entry = scene.entry();
  const during = reader.verdict(entry).kind;
  advance(scene.stores.length);
  return [during, reader.verdict(entry).kind];
}

/** Every way to stop the writer once between two stores, and to resume it between two later loads. */
function* judgements(scene: Scene, mechanisms: Mechanisms): Generator<string[]> {
  for (let stop = 0; stop <= scene.stores.length; stop += 1) {
    for (let from = 0; from < LOADS; from += 1) {
      for (let on = from; on < LOADS; on += 1) {
        yield judgeAmong(scene, mechanisms, (loads) =>
          loads < from ? 0 : loads < on ? stop : scene.stores.length,
        );
      }
    }
  }
}

/** More loads than a verdict on one tag in one bucket takes. */
const LOADS = 36;

function sceneOf(
  mechanisms: Mechanisms,
  prepare: (fence: ReturnType<typeof table>) => void,
  tag: string,
  entry: () => Fenced,
): Scene {
  const fence = table(7, { mechanisms });
  prepare(fence);
  const before = Uint32Array.from({ length: fence.size.words }, (_, index) => fence.words.load(index));
  // Rebuilds the writer's own counters from its earlier invalidations.
  const copy = new SharedWords(new SharedArrayBuffer(before.byteLength));
  const recording = recordingWords(copy);
  const writer = new FenceWriter(recording.words, fence.size, { sequence: 0, nowMs: NOW_MS }, mechanisms);
  before.forEach((value, index) => copy.store(index, value));
  for (let sequence = 1; sequence <= fence.writer.sequence; sequence += 1) {
    writer.invalidate(hashTags([]), 'hard', sequence, NOW_MS);
  }
  recording.stores.length = 0;
  writer.invalidate(hashTags([tag]), 'hard', fence.writer.sequence + 1, NOW_MS);
  const filled = new Map([...before.entries()].filter(([, value]) => value !== 0));
  return { before: filled, stores: [...recording.stores], entry };
}

const NOW_MS = setClock().nowMs();
const without = (name: keyof Mechanisms): Mechanisms => ({ ...ALL_MECHANISMS, [name]: false });

/** The entry's own tag is invalidated while it is judged. */
const ownTag = (mechanisms: Mechanisms): Scene =>
  sceneOf(
    mechanisms,
    (fence) => fence.hard('other'),
    'a',
    () => entryOf(['a'], 1),
  );

/** The bucket is full. The record of the entry's tag is the oldest, and another tag overwrites it. */
const displaced = (mechanisms: Mechanisms): Scene =>
  sceneOf(
    mechanisms,
    (fence) => ['a', 'b', 'c', 'd', 'e', 'f', 'g'].forEach((tag) => fence.hard(tag)),
    'h',
    () => entryOf(['a'], 0),
  );

const cachesWrongly = ([, after]: string[]): boolean => after === 'clear';
const misses = ([during, after]: string[]): boolean => during === 'clear' || after === 'clear';

describe('a reader that runs concurrently with the writer', () => {
  it('never caches a clear verdict for an entry that was invalidated during the scan', () => {
    for (const each of judgements(ownTag(ALL_MECHANISMS), ALL_MECHANISMS)) {
      expect(cachesWrongly(each)).toBe(false);
    }
  });

  it('never misses a record that is overwritten', () => {
    for (const each of judgements(displaced(ALL_MECHANISMS), ALL_MECHANISMS)) {
      expect(misses(each)).toBe(false);
    }
  });

  it('misses nothing at any pace of the writer', () => {
    const scenes = [displaced(ALL_MECHANISMS), ownTag(ALL_MECHANISMS)];
    fc.assert(
      fc.property(fc.array(fc.nat(3), { maxLength: 60 }), fc.nat(1), (pace, which) => {
        const scene = scenes[which]!;
        let due = 0;
        const judged = judgeAmong(scene, ALL_MECHANISMS, (loads) => (due += pace[loads] ?? 0));
        return which === 0 ? !misses(judged) : !cachesWrongly(judged);
      }),
      { numRuns: 3_000 },
    );
  });

  it('would cache a wrong verdict if it loaded the sequence after the scan', () => {
    const mechanisms = without('sequenceBeforeScan');
    const wrong = [...judgements(ownTag(mechanisms), mechanisms)].filter(cachesWrongly);
    expect(wrong.length).toBeGreaterThan(0);
  });

  it('would miss a record if the overflow were raised after the record is overwritten', () => {
    const mechanisms = without('overflowBeforeOverwrite');
    const missed = [...judgements(displaced(mechanisms), mechanisms)].filter(misses);
    expect(missed.length).toBeGreaterThan(0);
  });

  it('sees all tags of an invalidation invalid, or none', () => {
    const fence = table(7);
    const entries = ['a', 'b', 'c'].map((tag) => entryOf([tag], 0));
    let worst = 0;
    const recording = recordingWords(fence.words);
    const writer = new FenceWriter(recording.words, fence.size, { sequence: 0, nowMs: NOW_MS });
    const start = Uint32Array.from({ length: fence.size.words }, (_, index) => fence.words.load(index));
    recording.stores.length = 0;
    writer.invalidate(hashTags(['a', 'b', 'c']), 'hard', 1, NOW_MS);
    start.forEach((value, index) => fence.words.store(index, value));
    for (const { index, value } of [{ index: 0, value: start[0]! }, ...recording.stores]) {
      fence.words.store(index, value);
      const clear = entries.filter(
        (entry) => fence.reader.verdict({ ...entry, clearAt: -1 }).kind === 'clear',
      );
      if (clear.length > 0 && clear.length < entries.length) worst += 1;
    }
    expect(worst).toBe(0);
    expect(entries.map((entry) => fence.reader.verdict(entry).kind)).toEqual(['hard', 'hard', 'hard']);
  });
});
