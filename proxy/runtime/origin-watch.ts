import type { Config, OriginConfig } from '../../policies/config/config.ts';
import type { OriginObserver } from '../../origin-adapters/origin.ts';
import type { Log } from '../observability/logger.ts';
import { FailureReports, type OriginReports } from '../origins/failure-reports.ts';
import { HealthChecks } from '../origins/health-checks.ts';
import { OriginCells, originCellsSource, type OriginCellsSource } from '../origins/origin-cells.ts';
import { OriginCounters } from '../origins/origin-counters.ts';
import { OriginFailures, SUMMARY_MS } from '../origins/origin-failures.ts';
import type { Clock } from '../threads/clock.ts';

export interface OriginWatchDependencies {
  readonly clock: Clock;
  readonly log: Log;
  /** The configuration in force. */
  inForce(): Config;
}

/** The coordinator's view of origins: shared cells, health checks, failures, and its own requests to them. */
export class OriginWatch {
  readonly asked = new OriginCounters();
  readonly #deps: OriginWatchDependencies;
  readonly #failures: OriginFailures;
  readonly #reports: FailureReports;
  readonly #summary: NodeJS.Timeout;
  #cellsSource: OriginCellsSource | null = null;
  #checks: HealthChecks | null = null;

  constructor(deps: OriginWatchDependencies) {
    this.#deps = deps;
    this.#failures = new OriginFailures({
      clock: deps.clock,
      log: deps.log,
      cells: () => this.cells(),
      urlsOf: (origin) => deps.inForce().origins[origin]?.urls ?? [],
    });
    this.#reports = new FailureReports(deps.clock, (reports) => this.take(reports));
    this.#summary = setInterval(() => this.#failures.summarise(), SUMMARY_MS).unref();
  }

  /** Returns the shared memory for the origins of a configuration. */
  share(config: Config): OriginCellsSource {
    this.#cellsSource = originCellsSource(Object.keys(config.origins), this.#cellsSource);
    return this.#cellsSource;
  }

  cells(): OriginCells {
    return new OriginCells(this.#cellsSource!);
  }

  /** Replaces the set of origins whose health is checked. */
  check(origins: readonly OriginConfig[]): void {
    const { clock, log } = this.#deps;
    this.#checks?.close();
    this.#checks = new HealthChecks(origins, { clock, log, cells: this.cells(), asked: this.asked });
  }

  /** Observes failures and recoveries of the coordinator's own requests. */
  observerOf(origin: string): OriginObserver {
    return this.#reports.observerOf(origin, this.cells());
  }

  take(reports: OriginReports): void {
    this.#failures.take(reports);
  }

  /** One sentence for each problem, for operators. */
  problems(): readonly string[] {
    return this.#failures.problems();
  }

  close(): void {
    clearInterval(this.#summary);
    this.#checks?.close();
  }
}
