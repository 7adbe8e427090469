/** Reports failures and recoveries of origins to the coordinator: the first at once, later ones in batches. */
import { BreakerOpen } from '../../origin-adapters/http/breaker.ts';
import { causeText } from '../../origin-adapters/http/failure.ts';
import type { OriginFailure, OriginObserver } from '../../origin-adapters/origin.ts';
import { isOriginFailure } from '../../policies/origin-failures.ts';
import type { Clock } from '../threads/clock.ts';
import type { OriginCells } from './origin-cells.ts';

/** Failures of one kind, with the message of the last one. */
export interface FailureReport {
  readonly origin: string;
  /** The URL's index in the configuration; null: no URL was tried. */
  readonly url: number | null;
  readonly kind: OriginFailure['kind'] | `answered_${number}`;
  /** The breaker was open. */
  readonly isBreakerOpen: boolean;
  readonly count: number;
  /** When the last one occurred, by the monotonic clock that all threads share. */
  readonly atMs: number;
  readonly message: string;
  /** The message of the system or a library; it may contain addresses. */
  readonly cause: string;
}

export interface OriginReports {
  readonly failures: readonly FailureReport[];
  readonly answered: readonly { readonly origin: string; readonly url: number; readonly atMs: number }[];
}

const GATHER_MS = 1000;

export class FailureReports {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #send: (reports: OriginReports) => void;
  readonly #failures = new Map<string, FailureReport>();
  readonly #answered = new Map<string, OriginReports['answered'][number]>();
  #timer: NodeJS.Timeout | null = null;

  constructor(clock: Pick<Clock, 'monotonicMs'>, send: (reports: OriginReports) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  observerOf(origin: string, cells: OriginCells): OriginObserver {
    const failed = (
      url: number | null,
      { kind, message, cause }: Pick<FailureReport, 'kind' | 'message'> & { readonly cause: unknown },
    ): void => {
      const isBreakerOpen = cause instanceof BreakerOpen;
      const key = `${origin}\n${url}\n${kind}\n${isBreakerOpen}`;
      const count = (this.#failures.get(key)?.count ?? 0) + 1;
      const atMs = this.#clock.monotonicMs();
      const words = { message, cause: causeText(cause) };
      this.#failures.set(key, { origin, url, kind, isBreakerOpen, count, atMs, ...words });
      this.#report();
    };
    return {
      failed,
      answered: (url, status) => {
        if (isOriginFailure(status)) {
          failed(url, {
            kind: `answered_${status}`,
            message: `the origin answered ${status}`,
            cause: null,
          });
          return;
        }
        if (!cells.isFailing(origin, url)) return;
        this.#answered.set(`${origin}\n${url}`, { origin, url, atMs: this.#clock.monotonicMs() });
        this.#report();
      },
    };
  }

  #report(): void {
    if (this.#timer !== null) return;
    this.#flush();
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (this.#failures.size + this.#answered.size > 0) this.#report();
    }, GATHER_MS);
    this.#timer.unref();
  }

  #flush(): void {
    const reports = { failures: [...this.#failures.values()], answered: [...this.#answered.values()] };
    this.#failures.clear();
    this.#answered.clear();
    this.#send(reports);
  }
}
