import type { OriginFailure } from '../origin.ts';
import type { CallHandler } from './call-handler.ts';

/**
 * Leaves an origin alone that fails: after so many failures in a row nothing is sent for a while, then one request as a
 * trial. Its state lies in shared memory, so that all threads leave the origin alone together.
 */
export interface Breaker {
  /** Whether a request may be sent. Where the time is over, true is given to one of those who ask: the trial. */
  admits(nowMs: number): boolean;
  /** As `admits`, and takes no trial. */
  isOpen(nowMs: number): boolean;
  /** Monotonic milliseconds until which nothing is sent; 0: closed. */
  readonly openUntilMs: number;
  succeeded(): void;
  failed(nowMs: number): void;
}

export interface BreakerConfig {
  /** In a row. */
  readonly failures: number;
  readonly openMs: number;
}

/** Why a request was not sent: the `cause` of its failure. */
export class BreakerOpen extends Error {
  constructor() {
    super('the origin has failed and is left alone for a while');
  }
}

/** Of one origin. */
export const BREAKER_BYTES = 16;

/** `buffer` is zero at first; `offset` a multiple of 8. Times in it are whole milliseconds. */
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
      // Whoever moves the end is the trial; should it come to nothing, there is another after as long again.
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

/** Tells the breaker what becomes of a call. Answers of 500 and above are failures; a full queue of our own is none. */
export function watched(
  handler: CallHandler,
  breaker: Breaker,
  clock: { monotonicMs(): number },
): CallHandler {
  return {
    onInformational: (status, fields) => handler.onInformational(status, fields),
    onSwitched(fields, socket) {
      breaker.succeeded();
      handler.onSwitched(fields, socket);
    },
    onHead(status, fields) {
      if (status >= 500) breaker.failed(clock.monotonicMs());
      else breaker.succeeded();
      handler.onHead(status, fields);
    },
    onData: (chunk) => handler.onData(chunk),
    onEnd: (trailers) => handler.onEnd(trailers),
    onFailure(failure) {
      if (!OUR_OWN.has(failure.kind)) breaker.failed(clock.monotonicMs());
      handler.onFailure(failure);
    },
  };
}

/** What tells nothing of the origin. */
const OUR_OWN: ReadonlySet<OriginFailure['kind']> = new Set([
  'connection_limit_reached',
  'proxy_internal_error',
]);
