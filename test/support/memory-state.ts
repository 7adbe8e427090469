import type { StateStore, StateTable, TableName } from '../../proxy/state/state-store.ts';

type Rows = Map<string, Buffer>;

/**
 * A state in memory whose commits the test can delay and fail. `crashed` returns the state that a process
 * finds when it starts after this one was killed: the commits that were done, with the next boot number.
 */
export class MemoryState implements StateStore {
  readonly starts: readonly string[];
  readonly boot: number;
  /** Awaited before each commit; a rejection fails it. */
  beforeCommit: () => Promise<void> = async () => {};
  commits = 0;
  #tables: Map<TableName, Rows>;
  /** The changes of the current transaction. */
  #changing: Map<TableName, Rows> | null = null;
  #waiting: { change: () => void; resolve(): void; reject(error: unknown): void }[] = [];
  #isRunning = false;
  #isDead = false;

  constructor(tables: ReadonlyMap<TableName, Rows> = new Map(), boot = 1) {
    this.#tables = copied(tables);
    this.boot = boot;
    this.starts = Array.from({ length: boot }, (_, start) => `start ${start + 1}`);
  }

  /** Nothing more is committed to this state. */
  crashed(): MemoryState {
    this.#isDead = true;
    return this.copy();
  }

  /** A copy, as an operator makes it while the process runs. */
  copy(): MemoryState {
    return new MemoryState(this.#tables, this.boot + 1);
  }

  table(name: TableName): StateTable {
    const rows = (): Rows => rowsOf(this.#changing ?? this.#tables, name);
    return {
      get: (key) => rows().get(hexOf(key)),
      put: (key, value) => void rows().set(hexOf(key), value),
      remove: (key) => void rows().delete(hexOf(key)),
      *range({ from, to, limit = Number.POSITIVE_INFINITY, backwards = false } = {}) {
        const keys = [...rows().keys()].toSorted();
        const isBefore = (a: string, b: string): boolean => (backwards ? a > b : a < b);
        let count = 0;
        for (const hex of backwards ? keys.toReversed() : keys) {
          if (from !== undefined && isBefore(hex, hexOf(from))) continue;
          if ((to !== undefined && !isBefore(hex, hexOf(to))) || count === limit) return;
          count += 1;
          yield { key: Buffer.from(hex, 'hex'), value: rows().get(hex)! };
        }
      },
      count: () => rows().size,
    };
  }

  write(change: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ change, resolve, reject });
      if (!this.#isRunning) void this.#run();
    });
  }

  async close(): Promise<void> {}

  async #run(): Promise<void> {
    this.#isRunning = true;
    await Promise.resolve();
    while (this.#waiting.length > 0 && !this.#isDead) {
      const together = this.#waiting.splice(0);
      const changed = copied(this.#tables);
      try {
        this.#changing = changed;
        for (const { change } of together) change();
        this.#changing = null;
        await this.beforeCommit();
        if (this.#isDead) return;
        this.#tables = changed;
        this.commits += 1;
        for (const { resolve } of together) resolve();
      } catch (error) {
        this.#changing = null;
        for (const { reject } of together) reject(error);
        await Promise.resolve();
      }
    }
    this.#isRunning = false;
  }
}

function copied(tables: ReadonlyMap<TableName, Rows>): Map<TableName, Rows> {
  return new Map([...tables].map(([name, rows]) => [name, new Map(rows)]));
}

function rowsOf(tables: Map<TableName, Rows>, name: TableName): Rows {
  const rows = tables.get(name) ?? new Map<string, Buffer>();
  tables.set(name, rows);
  return rows;
}

function hexOf(key: string | Buffer): string {
  return Buffer.from(key).toString('hex');
}
