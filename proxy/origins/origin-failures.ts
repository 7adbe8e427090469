/** Logs the failures of origins for all threads: the first failure of a kind at once, then one line a minute. */
import { decideAdvice } from '../../policies/origin-advice.ts';
import type { Clock } from '../threads/clock.ts';
import type { Log } from '../observability/logger.ts';
import type { FailureReport, OriginReports } from './failure-reports.ts';
import type { OriginCells } from './origin-cells.ts';

export interface OriginFailuresDependencies {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Log;
  /** The configuration in force. */
  cells(): OriginCells;
  /** The URLs of an origin; empty: the origin is no longer configured. */
  urlsOf(origin: string): readonly string[];
}

interface Kind {
  readonly report: FailureReport;
  /** The number of failures since the last log line that named this kind. */
  readonly unlogged: number;
}

/** A URL of an origin, or the origin as a whole. */
interface Target {
  readonly origin: string;
  readonly url: number | null;
  readonly kinds: Map<string, Kind>;
  isFailing: boolean;
  /** Threads report in batches: a failure before this response may be reported after it. */
  answeredAtMs: number;
  /** A recovery is logged at most once a minute. */
  isRecoveryLogged: boolean;
}

export const SUMMARY_MS = 60_000;
/** An origin without requests is not reported as failing for longer than this. */
const REMEMBERED_MS = 300_000;

export class OriginFailures {
  readonly #deps: OriginFailuresDependencies;
  /** At most one for each URL and each origin. */
  readonly #targets = new Map<string, Target>();

  constructor(deps: OriginFailuresDependencies) {
    this.#deps = deps;
  }

  take({ failures, answered }: OriginReports): void {
    for (const report of failures) this.#failed(report);
    for (const { origin, url, atMs } of answered) {
      this.#recovered(origin, url, atMs);
      this.#recovered(origin, null, atMs);
    }
  }

  /** Logs the failures since the last call; called every `SUMMARY_MS`. */
  summarise(): void {
    const nowMs = this.#deps.clock.monotonicMs();
    for (const [key, target] of this.#targets) {
      this.#summariseOne(target);
      target.isRecoveryLogged = false;
      for (const [kind, { report }] of target.kinds) {
        if (nowMs - report.atMs >= SUMMARY_MS && !target.isFailing) target.kinds.delete(kind);
        if (nowMs - report.atMs >= REMEMBERED_MS) target.kinds.delete(kind);
      }
      if (target.kinds.size > 0) continue;
      this.#targets.delete(key);
      this.#deps.cells().setFailing(target.origin, target.url, false);
    }
  }

  /** One sentence without addresses for each failing origin. */
  problems(): string[] {
    const problems = new Map<string, string>();
    for (const { origin, kinds, isFailing } of this.#targets.values()) {
      const last = [...kinds.values()].toSorted((a, b) => b.report.atMs - a.report.atMs)[0];
      if (!isFailing || last === undefined || this.#deps.urlsOf(origin).length === 0) continue;
      const { message, kind, isBreakerOpen } = last.report;
      problems.set(origin, `the origin ${origin} fails: ${message}; ${decideAdvice(kind, isBreakerOpen)}`);
    }
    return [...problems.values()];
  }

  #failed(report: FailureReport): void {
    const { origin, url, kind, isBreakerOpen, count } = report;
    const target = this.#targetOf(origin, url);
    const name = isBreakerOpen ? 'breaker_open' : kind;
    const known = target.kinds.get(name);
    target.kinds.set(name, { report, unlogged: (known?.unlogged ?? 0) + count });
    if (report.atMs >= target.answeredAtMs) {
      target.isFailing = true;
      this.#deps.cells().setFailing(origin, url, true);
    }
    if (known === undefined) this.#logFirst(target, name);
  }

  #logFirst(target: Target, name: string): void {
    const { report, unlogged } = target.kinds.get(name)!;
    target.kinds.set(name, { report, unlogged: 0 });
    this.#deps.log.warn(
      {
        event: 'origin-failed',
        ...this.#named(target),
        failure: name,
        count: unlogged,
        ...wordsOf(report),
      },
      'an origin has failed; further failures are summarised once a minute',
    );
  }

  #summariseOne(target: Target): void {
    const counted = [...target.kinds].filter(([, { unlogged }]) => unlogged > 0);
    if (counted.length === 0) return;
    const most = counted.toSorted(([, a], [, b]) => b.unlogged - a.unlogged)[0]![1];
    const failures = Object.fromEntries(counted.map(([name, { unlogged }]) => [name, unlogged]));
    for (const [name, kind] of counted) target.kinds.set(name, { ...kind, unlogged: 0 });
    this.#deps.log.warn(
      { event: 'origin-failing', ...this.#named(target), failures, ...wordsOf(most.report) },
      'an origin has failed in the last minute',
    );
  }

  #recovered(origin: string, url: number | null, atMs: number): void {
    const target = this.#targets.get(keyOf(origin, url));
    const lastMs = Math.max(
      ...(target === undefined ? [] : [...target.kinds.values()].map(({ report }) => report.atMs)),
    );
    if (lastMs > atMs) return;
    this.#deps.cells().setFailing(origin, url, false);
    if (target === undefined) return;
    target.answeredAtMs = atMs;
    if (!target.isFailing) return;
    target.isFailing = false;
    if (target.isRecoveryLogged) return;
    target.isRecoveryLogged = true;
    this.#deps.log.info({ event: 'origin-recovered', ...this.#named(target) }, 'an origin answers again');
  }

  #targetOf(origin: string, url: number | null): Target {
    const key = keyOf(origin, url);
    const known = this.#targets.get(key);
    if (known !== undefined) return known;
    const target: Target = {
      origin,
      url,
      kinds: new Map(),
      isFailing: false,
      answeredAtMs: -Infinity,
      isRecoveryLogged: false,
    };
    this.#targets.set(key, target);
    return target;
  }

  #named({ origin, url }: Target): { readonly origin: string; readonly url: string | null } {
    return { origin, url: url === null ? null : (this.#deps.urlsOf(origin)[url] ?? null) };
  }
}

function wordsOf({ message, cause, kind, isBreakerOpen }: FailureReport) {
  return { reason: message, cause, advice: decideAdvice(kind, isBreakerOpen) };
}

function keyOf(origin: string, url: number | null): string {
  return `${origin}\n${url}`;
}
