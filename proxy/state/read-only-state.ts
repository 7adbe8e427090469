import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { open, type Database, type RootDatabase } from 'lmdb';
import type { StateRange, StateStore, StateTable, TableName } from './state-store.ts';

/**
 * The state on a read-only file system. Stored rows can be read, so holds and invalidations of earlier runs stay in
 * force. Writes are kept in memory until `seal`, and are refused after it.
 */
export class ReadOnlyState implements StateStore {
  readonly starts = [];
  readonly boot: number;
  readonly #root: RootDatabase<Buffer, Buffer> | null;
  readonly #tables = new Map<TableName, OverlaidTable>();
  #isSealed = false;

  /** Throws if a state exists and can't be read. */
  constructor(path: string) {
    const directory = join(path, 'state');
    const options = { encoding: 'binary', keyEncoding: 'binary', maxDbs: 16, noSubdir: false } as const;
    this.#root = existsSync(directory)
      ? open<Buffer, Buffer>({ ...options, path: directory, readOnly: true })
      : null;
    this.boot = (this.table('meta').get('boot')?.readUInt32LE(0) ?? 0) + 1;
  }

  seal(): void {
    this.#isSealed = true;
  }

  table(name: TableName): StateTable {
    let table = this.#tables.get(name);
    if (table === undefined) {
      // lmdb returns undefined for a table that does not exist, which its type omits.
      const stored: Database<Buffer, Buffer> | undefined = this.#root?.openDB<Buffer, Buffer>({
        name,
        encoding: 'binary',
        keyEncoding: 'binary',
      });
      table = new OverlaidTable(stored ?? null);
      this.#tables.set(name, table);
    }
    return table;
  }

  async write(change: () => void): Promise<void> {
    await Promise.resolve();
    if (this.#isSealed) throw new Error('the state is on a read-only file system');
    change();
  }

  async close(): Promise<void> {
    await this.#root?.close();
  }
}

/** The stored rows of a table, overlaid with those that were put or removed (null) since. */
class OverlaidTable implements StateTable {
  readonly #stored: Database<Buffer, Buffer> | null;
  readonly #changed = new Map<string, Buffer | null>();

  constructor(stored: Database<Buffer, Buffer> | null) {
    this.#stored = stored;
  }

  get(key: string | Buffer): Buffer | undefined {
    const changed = this.#changed.get(hexOf(key));
    return changed === undefined ? this.#stored?.get(Buffer.from(key)) : (changed ?? undefined);
  }

  put(key: string | Buffer, value: Buffer): void {
    this.#changed.set(hexOf(key), Buffer.from(value));
  }

  remove(key: string | Buffer): void {
    this.#changed.set(hexOf(key), null);
  }

  *range({ from, to, limit = Infinity, backwards = false }: StateRange = {}): Generator<Row> {
    const bounds = {
      ...(from === undefined ? {} : { start: from }),
      ...(to === undefined ? {} : { end: to }),
    };
    const stored = this.#stored?.getRange({ ...bounds, reverse: backwards }) ?? [];
    const order = (a: Buffer, b: Buffer): number => (backwards ? -1 : 1) * a.compare(b);
    const isWithin = (key: Buffer): boolean =>
      (from === undefined || order(key, from) >= 0) && (to === undefined || order(key, to) < 0);
    const added = [...this.#changed]
      .flatMap(([hex, value]): Row[] => (value === null ? [] : [{ key: Buffer.from(hex, 'hex'), value }]))
      .filter(({ key }) => isWithin(key))
      .toSorted((a, b) => order(a.key, b.key));
    let left = limit;
    for (const row of merged(this.#unchanged(stored), added, order)) {
      if (left <= 0) return;
      left -= 1;
      yield row;
    }
  }

  count(): number {
    return [...this.range()].length;
  }

  *#unchanged(rows: Iterable<Row>): Generator<Row> {
    for (const { key, value } of rows) {
      if (!this.#changed.has(hexOf(key))) yield { key: Buffer.from(key), value: Buffer.from(value) };
    }
  }
}

interface Row {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Merges two sorted sequences of rows. */
function* merged(
  stored: Iterable<Row>,
  added: readonly Row[],
  order: (a: Buffer, b: Buffer) => number,
): Generator<Row> {
  let next = 0;
  for (const row of stored) {
    while (next < added.length && order(added[next]!.key, row.key) < 0) yield added[next++]!;
    yield row;
  }
  yield* added.slice(next);
}

function hexOf(key: string | Buffer): string {
  return Buffer.from(key).toString('hex');
}
