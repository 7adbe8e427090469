import { LRUCache } from 'lru-cache';
import { concerns, type KnownFailure } from '../../policies/origin-failures.ts';
import type { FetchRequest, FetchResult } from './fetch-request.ts';

/** The failure as it answers the requests that share it. */
export type FailureFound = FetchResult & { readonly kind: 'failed' | 'failing' };

interface RememberedFailure {
  readonly failure: KnownFailure;
  readonly found: FailureFound;
  /** Whether the failure also answers later requests. */
  readonly isShared: boolean;
  /** The flight key of the request that failed. */
  readonly key: string;
}

/**
 * Failures of the origin, each remembered until its `untilMs`. They are kept by flight key. Failures with the scope `origin`
 * are also kept by primary key, for requests that select other variants.
 */
export class FailureMemory {
  readonly #byFlightKey: LRUCache<string, RememberedFailure>;
  readonly #byPrimaryKey: LRUCache<string, RememberedFailure>;

  constructor(maxKeys: number) {
    this.#byFlightKey = new LRUCache({ max: maxKeys });
    this.#byPrimaryKey = new LRUCache({ max: maxKeys });
  }

  /** The failure that answers the request; null: there is none. */
  answerTo(
    { key: primary, method, originFields }: FetchRequest,
    key: string,
    nowMs: number,
  ): FailureFound | null {
    if (this.#byFlightKey.size === 0) return null;
    const known = remembered(this.#byFlightKey, key, nowMs);
    if (known !== null && known.isShared && concerns(known.failure, method, originFields)) return known.found;
    const ofOrigin = remembered(this.#byPrimaryKey, primary, nowMs);
    return ofOrigin !== null && ofOrigin.isShared ? ofOrigin.found : null;
  }

  /** The last failure of a request with this flight key; null: none is remembered. */
  last(key: string, nowMs: number): KnownFailure | null {
    return remembered(this.#byFlightKey, key, nowMs)?.failure ?? null;
  }

  /** `isShared`: another request waited for the response, or the origin had failed before. */
  note(
    primary: string,
    key: string,
    failure: KnownFailure,
    found: FailureFound,
    isShared: boolean,
    nowMs: number,
  ): void {
    if (found.untilMs <= nowMs) return;
    this.#byFlightKey.set(key, { failure, found, isShared, key });
    if (failure.scope !== 'origin') return;
    const before = remembered(this.#byPrimaryKey, primary, nowMs);
    // One failure may be due to a field that selects the variant: a second variant has to fail as well.
    const failsAtOthers = before !== null && (before.isShared || before.key !== key);
    this.#byPrimaryKey.set(primary, { failure, found, isShared: failsAtOthers, key });
  }

  /** The origin has responded to a request with this key. */
  forget(primary: string, key: string): void {
    this.#byFlightKey.delete(key);
    this.#byPrimaryKey.delete(primary);
  }
}

function remembered(
  failures: LRUCache<string, RememberedFailure>,
  key: string,
  nowMs: number,
): RememberedFailure | null {
  const known = failures.get(key);
  if (known === undefined) return null;
  if (known.found.untilMs > nowMs) return known;
  failures.delete(key);
  return null;
}
