import { describe, expect, it } from 'vitest';
import { SharedWords } from '../../proxy/fence/layout.ts';
import { FenceReader, type Fenced } from '../../proxy/fence/reader.ts';
import { FenceWriter } from '../../proxy/fence/writer.ts';
import { ALL_MECHANISMS, type Mechanisms } from '../../proxy/mechanisms.ts';
import { fc } from '../support/properties.ts';
import { entryOf, recordingWords, setClock, table, watchedWords, type Store, hashTags } from './given.ts';

/** A fence as it stands, and the stores that an invalidation makes on it, one by one. */
interface Scene {
  /** What is not zero. */
  readonly before: ReadonlyMap<number, number>;
  readonly stores: readonly Store[];
  /** Of the tag that is invalidated, or was before. */
  readonly entry: () => Fenced;
}

/**
 * Judges while the writer stores: `due` says how many of its stores are done before each load. Then judges again when all
 * are. Nothing that the writer does depends on a reader, so its stores can be played in any rhythm.
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

/** Every way to stop the writer once between two of its stores, and to let it go on between two later loads. */
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

/** More than a verdict on one tag of one bucket takes. */
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
  // The writer's own notes, made anew from what it did before.
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

/** The bucket is full of older records, the entry's tag the oldest, and makes room for another tag. */
const displaced = (mechanisms: Mechanisms): Scene =>
  sceneOf(
    mechanisms,
    (fence) => ['a', 'b', 'c', 'd', 'e', 'f', 'g'].forEach((tag) => fence.hard(tag)),
    'h',
    () => entryOf(['a'], 0),
  );

const remembersWrongly = ([, after]: string[]): boolean => after === 'clear';
const misses = ([during, after]: string[]): boolean => during === 'clear' || after === 'clear';

describe('a reader beside the writer', () => {
  it('never remembers as clear what was invalidated while it looked', () => {
    for (const each of judgements(ownTag(ALL_MECHANISMS), ALL_MECHANISMS)) {
      expect(remembersWrongly(each)).toBe(false);
    }
  });

  it('never misses a record that makes room for another', () => {
    for (const each of judgements(displaced(ALL_MECHANISMS), ALL_MECHANISMS)) {
      expect(misses(each)).toBe(false);
    }
  });

  it('misses nothing in whatever rhythm the writer stores', () => {
    const scenes = [displaced(ALL_MECHANISMS), ownTag(ALL_MECHANISMS)];
    fc.assert(
      fc.property(fc.array(fc.nat(3), { maxLength: 60 }), fc.nat(1), (rhythm, which) => {
        const scene = scenes[which]!;
        let due = 0;
        const judged = judgeAmong(scene, ALL_MECHANISMS, (loads) => (due += rhythm[loads] ?? 0));
        return which === 0 ? !misses(judged) : !remembersWrongly(judged);
      }),
      { numRuns: 3_000 },
    );
  });

  it('would remember wrongly if it took the sequence after it had looked', () => {
    const mechanisms = without('sequenceBeforeScan');
    const wrong = [...judgements(ownTag(mechanisms), mechanisms)].filter(remembersWrongly);
    expect(wrong.length).toBeGreaterThan(0);
  });

  it('would miss a record if the overflow were raised after it', () => {
    const mechanisms = without('overflowBeforeOverwrite');
    const missed = [...judgements(displaced(mechanisms), mechanisms)].filter(misses);
    expect(missed.length).toBeGreaterThan(0);
  });

  it('sees all tags of a transaction invalid, or none', () => {
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
