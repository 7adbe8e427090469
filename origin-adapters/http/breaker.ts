import type { OriginFailure } from '../origin.ts';

/**
 * A circuit breaker: after a number of consecutive failures no request is sent for some time, then a single trial.
 * Its state is in shared memory, so that all threads follow it.
 */
export interface Breaker {
  /** Whether a request may be sent. After the open time one caller gets true: the trial. */
  admits(nowMs: number): boolean;
  /** Like `admits`, but never starts a trial. */
  isOpen(nowMs: number): boolean;
  /** Monotonic milliseconds until which nothing is sent; 0: closed. */
  readonly openUntilMs: number;
  /** The origin has answered with a status below 500. */
  succeeded(): void;
  /** The origin has answered with another status, or has failed; a full queue of Weir does not count. */
  failed(nowMs: number): void;
}

export interface BreakerConfig {
  /** Consecutive failures that open the breaker. */
  readonly failures: number;
  readonly openMs: number;
}

/** The `cause` of a failure whose request was not sent. */
export class BreakerOpen extends Error {
  constructor() {
    super('the breaker is open: the origin has failed repeatedly');
  }
}

/** Size of one origin's state. */
export const BREAKER_BYTES = 16;

/** `buffer` must initially be zero; `offset` is a multiple of 8. Times in it are whole milliseconds. */
export function createBreaker(
  config: BreakerConfig,
  buffer: SharedArrayBuffer | ArrayBuffer = new ArrayBuffer(BREAKER_BYTES),
  offset = 0,
): Breaker {
  const cells = new BigInt64Array(buffer, offset, 2);
  const open = (nowMs: number): void => {
    Atomics.store(cells, OPEN_UNTIL, BigInt(Math.ceil(nowMs + config.openMs)));
  };
  return {
    get openUntilMs() {
      return Number(Atomics.load(cells, OPEN_UNTIL));
    },
    isOpen: (nowMs) => nowMs < Number(Atomics.load(cells, OPEN_UNTIL)),
    admits(nowMs) {
      const until = Atomics.load(cells, OPEN_UNTIL);
      if (until === 0n) return true;
      if (nowMs < Number(until)) return false;
      // The caller that moves the end is the trial. If it has no result, there is another trial after the same time.
      const next = BigInt(Math.ceil(nowMs + config.openMs));
      return Atomics.compareExchange(cells, OPEN_UNTIL, until, next) === until;
    },
    succeeded() {
      if (Atomics.load(cells, FAILURES) !== 0n) Atomics.store(cells, FAILURES, 0n);
      if (Atomics.load(cells, OPEN_UNTIL) !== 0n) Atomics.store(cells, OPEN_UNTIL, 0n);
    },
    failed(nowMs) {
      const failures = Number(Atomics.add(cells, FAILURES, 1n)) + 1;
      if (failures >= config.failures) open(nowMs);
    },
  };
}

const FAILURES = 0;
const OPEN_UNTIL = 1;

/** Whether the failure says nothing about the origin. */
export function isOfWeir({ kind }: OriginFailure): boolean {
  return OUR_OWN.has(kind);
}

const OUR_OWN: ReadonlySet<OriginFailure['kind']> = new Set([
  'connection_limit_reached',
  'proxy_internal_error',
]);
