import { formatAge } from '../../policies/rfc9111/freshness.ts';
import { cacheStatus } from '../../policies/http/cache-status.ts';
import type { SharedFields } from '../../policies/http/shared-fields.ts';

/**
 * What hits are sent besides the fields of their entries: Age and Cache-Status without the key. All entries of a worker share
 * them by age and remaining lifetime, so that a hit changes no entry. A change would keep the fields alive with an old
 * object, and V8 would copy them out of the young generation.
 */
export class HitFields {
  readonly #slots: (OfHit | null)[] = Array.from({ length: SLOTS }, () => null);

  /** Of a fresh hit, in whole seconds. The result is kept until another pair of numbers takes its place. */
  of(ageSeconds: number, ttlSeconds: number): SharedFields {
    const slot = (ageSeconds + Math.imul(ttlSeconds, SPREAD)) & (SLOTS - 1);
    const kept = this.#slots[slot]!;
    if (kept !== null && kept.ageSeconds === ageSeconds && kept.ttlSeconds === ttlSeconds) return kept.sent;
    const fields = ['Age', formatAge(ageSeconds), 'Cache-Status', cacheStatus({ hit: true, ttlSeconds })];
    const sent: SharedFields = { fields, lines: null };
    this.#slots[slot] = { ageSeconds, ttlSeconds, sent };
    return sent;
  }
}

interface OfHit {
  readonly ageSeconds: number;
  readonly ttlSeconds: number;
  readonly sent: SharedFields;
}

/** A power of two. With it, one worker keeps at most about 300 KiB. */
const SLOTS = 1_024;
/** Odd, so that pairs with the same sum have different slots. */
const SPREAD = 37;
