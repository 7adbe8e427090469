import { fenceSize, SharedWords, type FenceSize, type Words } from '../../proxy/fence/layout.ts';
import { FenceReader, type Fenced } from '../../proxy/fence/reader.ts';
import { TagHasher, type TagHashes } from '../../proxy/fence/tag-hash.ts';
import { FenceWriter } from '../../proxy/fence/writer.ts';
import { HASH_KEY_WORDS } from '../../proxy/threads/keyed-hash.ts';
import { ALL_MECHANISMS, type Mechanisms } from '../../proxy/mechanisms.ts';

/** A clock that the test sets, in milliseconds; the wall clock is ahead of the monotonic one by `wallAhead`. */
export interface SetClock {
  now: number;
  wallAhead: number;
  nowMs(): number;
  monotonicMs(): number;
}

export function setClock(now = 1_700_000_000_000): SetClock {
  return {
    now,
    wallAhead: 0,
    nowMs() {
      return this.now + this.wallAhead;
    },
    monotonicMs() {
      return this.now;
    },
  };
}

/** Hashes with the key of a fence in which none was stored: zeros. */
export const KEYLESS = new TagHasher(new Uint32Array(HASH_KEY_WORDS));

export function hashTags(tags: readonly string[]): TagHashes {
  return KEYLESS.hash(tags);
}

export function entryOf(
  tags: readonly string[],
  floor: number,
  { possiblyStale = false, requestTimeMs = 0 }: Partial<Pick<Fenced, 'possiblyStale' | 'requestTimeMs'>> = {},
  hasher = KEYLESS,
): Fenced {
  const unjudged = { clearEra: -1, clearAt: -1, softSinceMs: 0 };
  return { tagHashes: hasher.hash(tags), floor, requestTimeMs, possiblyStale, ...unjudged };
}

export interface Table {
  readonly size: FenceSize;
  readonly words: SharedWords;
  readonly writer: FenceWriter;
  readonly reader: FenceReader;
  /** Invalidates the tags with the next sequence, and returns it. */
  hard(...tags: string[]): number;
  soft(...tags: string[]): number;
}

/** A table of `records` records, seven in a bucket. */
export function table(
  records: number,
  options: {
    readonly sequence?: number;
    readonly base?: number;
    readonly wordLimit?: number;
    readonly mechanisms?: Mechanisms;
    readonly clock?: SetClock;
  } = {},
): Table {
  const { sequence = 0, mechanisms = ALL_MECHANISMS, clock = setClock(), base = 0, wordLimit } = options;
  const size = fenceSize(records);
  const words = new SharedWords(new SharedArrayBuffer(size.words * 4));
  const start = { sequence, base, nowMs: clock.monotonicMs() };
  const writer = new FenceWriter(words, size, start, mechanisms, wordLimit);
  const invalidate = (mode: 'hard' | 'soft', tags: readonly string[]): number => {
    const next = writer.sequence + 1;
    writer.invalidate(hashTags(tags), mode, next, clock.monotonicMs());
    return next;
  };
  return {
    size,
    words,
    writer,
    reader: new FenceReader(words, clock, mechanisms),
    hard: (...tags) => invalidate('hard', tags),
    soft: (...tags) => invalidate('soft', tags),
  };
}

export interface Store {
  readonly index: number;
  readonly value: number;
}

/** Words that record every store, in order. */
export function recordingWords(words: Words): { readonly words: Words; readonly stores: Store[] } {
  const stores: Store[] = [];
  return {
    stores,
    words: {
      load: (index) => words.load(index),
      store(index, value) {
        stores.push({ index, value });
        words.store(index, value);
      },
    },
  };
}

/** Words that call `before` ahead of each load, with the number of earlier loads. */
export function watchedWords(words: Words, before: (loads: number) => void): Words {
  let loads = 0;
  return {
    load(index) {
      before(loads);
      loads += 1;
      return words.load(index);
    },
    store: (index, value) => words.store(index, value),
  };
}
