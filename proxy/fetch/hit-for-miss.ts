import type { KeyedHash } from '../threads/keyed-hash.ts';

/**
 * Remembers, for all workers, keys whose responses were not cacheable, so that their requests are not collapsed.
 * A table of fixed size in shared memory: a key that is overwritten, or collides with another, costs a wait or a request
 * that is not collapsed, never a wrong answer.
 */
export interface HitForMiss {
  /** `nowMs` is monotonic. */
  has(key: string, of: HitForMissOf, nowMs: number): boolean;
  remember(key: string, of: HitForMissOf, nowMs: number): void;
  forget(key: string, of: HitForMissOf): void;
}

/** What is remembered of a key, each by itself; a sum of `OF`. */
export type HitForMissOf = number;

export const OF = {
  /** The response to a GET is not stored. */
  get: 0,
  /** The same of a HEAD: some origins leave fields out of its response. */
  head: 1,
  /** Added to one of the two: the response is stored, and may be given only to the client that requested it. */
  alone: 2,
} as const;

const SLOTS = 65_536;
const REMEMBERED_SECONDS = 60;

export function hitForMissBuffer(): SharedArrayBuffer {
  return new SharedArrayBuffer(SLOTS * 8);
}

export function createHitForMiss(buffer: SharedArrayBuffer, hash: KeyedHash): HitForMiss {
  const words = new Uint32Array(buffer);
  const slotOf = (key: string, of: HitForMissOf): number => (((hash.hash(key) ^ of) >>> 0) % SLOTS) * 2;
  /** Of the key whose slot was computed last. */
  const markOf = (of: HitForMissOf): number => (hash.high ^ of) >>> 0;
  return {
    has(key, of, nowMs) {
      const slot = slotOf(key, of);
      // Nearly all keys are absent: one load decides that.
      const until = Atomics.load(words, slot + 1);
      return until !== 0 && until > nowMs / 1000 && Atomics.load(words, slot) === markOf(of);
    },
    remember(key, of, nowMs) {
      const slot = slotOf(key, of);
      Atomics.store(words, slot, markOf(of));
      Atomics.store(words, slot + 1, Math.ceil(nowMs / 1000) + REMEMBERED_SECONDS);
    },
    forget(key, of) {
      const slot = slotOf(key, of);
      if (Atomics.load(words, slot) === markOf(of)) Atomics.store(words, slot + 1, 0);
    },
  };
}
