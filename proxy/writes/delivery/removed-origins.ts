import type { Clock } from '../../threads/clock.ts';
import type { Journal } from '../journal/journal.ts';
import type { WriteRecord } from '../journal/record.ts';
import type { DueRow } from '../journal/tables.ts';

export interface RemovedOriginsDependencies {
  readonly journal: Journal;
  readonly clock: Clock;
  /** True while Weir stops: nothing more is begun. */
  isOver(): boolean;
  /** Whether the origin is configured. */
  knows(origin: string): boolean;
  knowsPrefix(prefix: Buffer): boolean;
  /** Returns false and changes nothing if the write is being sent or an operator is changing it. */
  unlessBusy(record: WriteRecord, number: number, change: () => Promise<void>): Promise<boolean>;
  giveUp(number: number, record: WriteRecord): Promise<void>;
  /** Gives up a write whose record can't be read. */
  quarantine(row: DueRow): Promise<void>;
  /** Removes a dead write from the queue that it stops. */
  free(number: number, record: WriteRecord): Promise<void>;
}

/** The number of dead writes that are read at a time. */
const PAGE = 256;

/** Gives up the writes of origins that are no longer configured, and removes their dead writes from the queues. */
export class RemovedOrigins {
  readonly #deps: RemovedOriginsDependencies;
  #givingUp: Promise<void> = Promise.resolve();

  constructor(deps: RemovedOriginsDependencies) {
    this.#deps = deps;
  }

  /** Resolves when only busy writes are left. Concurrent calls run one after another. */
  giveUp(): Promise<void> {
    this.#givingUp = this.#givingUp.then(async () => {
      await this.#freeQueues();
      await this.#giveUpFirsts();
    });
    return this.#givingUp;
  }

  /** Removes dead writes from the queues that they stop, so that the writes behind them become due. */
  async #freeQueues(): Promise<void> {
    const { journal, isOver, knows, unlessBusy, free } = this.#deps;
    let after = 0;
    while (!isOver()) {
      const page = Array.from(journal.tables.records('dead', after, PAGE));
      if (page.length === 0) return;
      after = page.at(-1)!.number;
      for (const { number, record: read } of page) {
        if (read.kind !== 'record' || knows(read.record.origin)) continue;
        const { record } = read;
        if (journal.tables.first(record.queue)?.number !== number) continue;
        await unlessBusy(record, number, () => free(number, record));
      }
    }
  }

  async #giveUpFirsts(): Promise<void> {
    const { journal, isOver } = this.#deps;
    for (let isDone = false; !isDone && !isOver();) {
      isDone = true;
      for (const row of journal.tables.origins()) if (await this.#giveUpFirst(row)) isDone = false;
    }
  }

  /** Returns false if the write's origin is configured or the write is busy. */
  async #giveUpFirst(row: DueRow): Promise<boolean> {
    const { journal, clock, knows, knowsPrefix, unlessBusy, giveUp, quarantine } = this.#deps;
    const { number } = row;
    const read = journal.tables.record('waiting', number);
    if (read?.kind === 'damaged' && !knowsPrefix(row.prefix)) {
      await quarantine(row);
      return true;
    }
    if (read?.kind !== 'record' || knows(read.record.origin)) return false;
    const { record } = read;
    const lastError = `the configuration has no origin ${record.origin}`;
    const dead = { ...record, state: 'dead', lastError, endedAtMs: clock.nowMs() } as const;
    return unlessBusy(record, number, () => giveUp(number, dead));
  }
}
