import type { Clock } from '../threads/clock.ts';
import type { Recorder } from '../observability/recorder.ts';
import type { Outcome } from '../observability/outcome.ts';
import type { RoutedContext, RequestContext } from './context.ts';

/** One line of the access log. */
export interface RequestRecord {
  readonly method: string;
  readonly target: string;
  readonly status: number;
  readonly outcome: Outcome;
  readonly reason: string;
  readonly route: string;
  readonly bytes: number;
  readonly durationMs: number;
  readonly client: string;
  readonly complete: boolean;
}

/** Counts and logs how requests ended. */
export class AccessRecords {
  readonly #recorder: Recorder;
  readonly #clock: Clock;
  readonly #access: ((line: RequestRecord) => void) | null;

  /** `access` null: no access log. */
  constructor(recorder: Recorder, clock: Clock, access: ((line: RequestRecord) => void) | null) {
    this.#recorder = recorder;
    this.#clock = clock;
    this.#access = access;
  }

  /** Records the request when its response has ended, complete or not. */
  whenEnded(context: RequestContext | RoutedContext, outcome: Outcome, reason: string, status: number): void {
    context.exchange.onEnd(({ complete, bytes }) =>
      this.#note(context, outcome, reason, status, bytes, complete),
    );
  }

  /** Records the request at once, for a response that the listener has whole. */
  now(
    context: RequestContext | RoutedContext,
    outcome: Outcome,
    reason: string,
    status: number,
    bytes: number,
  ): void {
    if (this.#access === null) this.#note(context, outcome, reason, status, bytes, true);
    else this.whenEnded(context, outcome, reason, status);
  }

  /** The client has left without a response. `waitedFor` names what it was waiting for. */
  abandoned(context: RequestContext | RoutedContext, waitedFor: string): void {
    this.#note(context, 'abandoned', waitedFor, 0, 0, false);
  }

  originHead(route: string, durationMs: number): void {
    this.#recorder.originHead(route, durationMs);
  }

  #note(
    context: RequestContext | RoutedContext,
    outcome: Outcome,
    reason: string,
    status: number,
    bytes: number,
    complete: boolean,
  ): void {
    const { exchange } = context;
    const route = 'route' in context ? context.route.config.name : '';
    const durationMs = this.#clock.monotonicMs() - exchange.startedAt;
    this.#recorder.request(route, outcome, reason, status, durationMs, bytes);
    this.#access?.({
      method: exchange.method,
      target: exchange.target,
      status,
      outcome,
      reason,
      route,
      bytes,
      // Rounded to microseconds: further digits are noise.
      durationMs: Math.round(durationMs * 1000) / 1000,
      client: exchange.remoteAddress,
      complete,
    });
  }
}
