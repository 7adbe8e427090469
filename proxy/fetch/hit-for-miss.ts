import type { KeyedHash } from '../threads/keyed-hash.ts';

/**
 * Remembers, for all workers, keys whose responses were not cacheable, so that their requests are not collapsed.
 * A table of fixed size in shared memory: a key that is overwritten, or collides with another, costs a wait or a request
 * that is not collapsed, never a wrong answer.
 */
export interface HitForMiss {
  /** `nowMs` is monotonic. */
  has(key: string, nowMs: number): boolean;
  remember(key: string, nowMs: number): void;
  forget(key: string): void;
}

const SLOTS = 65_536;
const REMEMBERED_SECONDS = 60;

export function hitForMissBuffer(): SharedArrayBuffer {
  return new SharedArrayBuffer(SLOTS * 8);
}

export function createHitForMiss(buffer: SharedArrayBuffer, hash: KeyedHash): HitForMiss {
  const words = new Uint32Array(buffer);
  const slotOf = (key: string): number => (hash.hash(key) % SLOTS) * 2;
  return {
    has(key, nowMs) {
      const slot = slotOf(key);
      // Nearly all keys are absent: one load decides that.
      const until = Atomics.load(words, slot + 1);
      return until !== 0 && until > nowMs / 1000 && Atomics.load(words, slot) === hash.high;
    },
    remember(key, nowMs) {
      const slot = slotOf(key);
      Atomics.store(words, slot, hash.high);
      Atomics.store(words, slot + 1, Math.ceil(nowMs / 1000) + REMEMBERED_SECONDS);
    },
    forget(key) {
      const slot = slotOf(key);
      if (Atomics.load(words, slot) === hash.high) Atomics.store(words, slot + 1, 0);
    },
  };
}
