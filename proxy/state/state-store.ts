import { randomBytes } from 'node:crypto';
import { renameSync, statSync } from 'node:fs';
import { chmod, open as openFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { open, type Database, type RootDatabase } from 'lmdb';
import { checkDatabaseFile, PAGE_BYTES } from './file-check.ts';
import { LmdbGate } from './lmdb-panic.ts';
import { WriteProbe } from './write-probe.ts';

/**
 * The durable state: the fence's records, reserved sequences, holds, feed positions, digests of the configuration and
 * the journal of writes. It is one LMDB environment. Only the coordinator writes it.
 */
export interface StateStore {
  /**
   * A random id for each of the last hundred starts on this environment; the last one is this start's. They are synced
   * before the cache is opened. A cache with another id may contain entries whose invalidations this state lacks.
   */
  readonly starts: readonly string[];
  /** The number of starts on this environment. */
  readonly boot: number;
  /** The table of that name, created on first use. */
  table(name: TableName): StateTable;
  /**
   * Resolves when all puts and removals of `change` are synced, in one transaction. Rejects if none of them is. `change`
   * runs later, in the order of the calls, and after the caller has handled the rejection of an earlier write.
   */
  write(change: () => void): Promise<void>;
  close(): Promise<void>;
}

export type TableName =
  | 'meta'
  | 'records'
  | 'overflow'
  | 'positions'
  | 'digests'
  | 'holds'
  | 'writes'
  | 'write-bodies'
  | 'write-lines'
  | 'write-dues'
  | 'write-keys'
  | 'write-responses';

/** Keys are strings or buffers of at most 1,900 bytes, in byte order. Reads return committed rows. */
export interface StateTable {
  get(key: string | Buffer): Buffer | undefined;
  /** May be called only within the `change` of a `write`, as `remove`. */
  put(key: string | Buffer, value: Buffer): void;
  remove(key: string | Buffer): void;
  /**
   * The rows in the order of keys, `from` included and `to` excluded. `backwards`: from `from` downwards. The caller may
   * keep the values.
   */
  range(range?: StateRange): Iterable<{ key: Buffer; value: Buffer }>;
  count(): number;
}

export interface StateRange {
  readonly from?: Buffer;
  readonly to?: Buffer;
  readonly limit?: number;
  readonly backwards?: boolean;
}

export type OpenedState =
  | { readonly kind: 'open'; readonly state: StateStore; readonly report: readonly string[] }
  /** `isDamaged`: the check has found LMDB's file to be damaged. */
  | { readonly kind: 'failed'; readonly reason: string; readonly isDamaged: boolean };

/** Since format 2 tags are hashed with a key of the state. A state of format 1 is converted. */
const FORMAT_VERSION = 2;
const MAP_BYTES = 16 * 2 ** 30;
const KNOWN_STARTS = 100;
/** The time limit for the file's check. With a million waiting writes a full check takes several seconds. */
const CHECK_MS = 500;

/**
 * Opens or creates the state below `path`. The file is extended to `reserveBytes` at once, so that a cache that fills the
 * file system does not take its space. A state that has a later format or can't be read is a failure. It is never
 * replaced here, because it may contain accepted writes.
 */
export async function openState(path: string, reserveBytes: number): Promise<OpenedState> {
  const directory = join(path, 'state');
  const report: string[] = [];
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const damage = await damageOfState(path);
    if (damage !== null) return { kind: 'failed', reason: damage, isDamaged: true };
    const probe = new WriteProbe(directory);
    const root = open<Buffer, Buffer>({
      path: directory,
      encoding: 'binary',
      keyEncoding: 'binary',
      // The default is the machine's page size, which the file check would not know.
      pageSize: PAGE_BYTES,
      maxDbs: 16,
      mapSize: MAP_BYTES,
      noSubdir: false,
      // With `true`, the promise of a commit resolves before it is synced.
      overlappingSync: false,
      // With `true`, lmdb makes another promise at each turn. A failed commit would reject it unhandled.
      eventTurnBatching: false,
    });
    const state = new LmdbState(root, probe);
    const meta = state.table('meta');
    const format = meta.get('format')?.readUInt32LE(0);
    if (format !== undefined && format > FORMAT_VERSION) {
      await state.close();
      return {
        kind: 'failed',
        reason: `${directory} has format ${format}, and this Weir reads formats up to ${FORMAT_VERSION}`,
        isDamaged: false,
      };
    }
    if (format === undefined) report.push(`no state in ${directory}: a new one was created`);
    const earlier = meta.get('starts')?.toString().split(' ') ?? [];
    state.starts = [...earlier, randomBytes(16).toString('hex')].slice(-KNOWN_STARTS);
    state.boot = (meta.get('boot')?.readUInt32LE(0) ?? 0) + 1;
    await state.write(() => {
      meta.put('format', uint32(FORMAT_VERSION));
      meta.put('starts', Buffer.from(state.starts.join(' ')));
      meta.put('boot', uint32(state.boot));
    });
    await reserve(join(directory, 'data.mdb'), reserveBytes);
    // The journal contains clients' requests with their credentials.
    await Promise.all(['data.mdb', 'lock.mdb'].map((name) => chmod(join(directory, name), 0o600)));
    return { kind: 'open', state, report };
  } catch (error) {
    return {
      kind: 'failed',
      reason: `${directory}: ${error instanceof Error ? error.message : String(error)}`,
      isDamaged: false,
    };
  }
}

/** Moves the state below `path` to another folder and returns that folder. Throws if it can't be moved. */
export function setStateAside(path: string, nowMs: number): string {
  const aside = join(path, `state-damaged-${nowMs}`);
  renameSync(join(path, 'state'), aside);
  return aside;
}

/**
 * Resolves with a message to the operator about damage of the state's file below `path`; null: none, or no file exists.
 */
export async function damageOfState(path: string): Promise<string | null> {
  const file = join(path, 'state', 'data.mdb');
  const bytes = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  const damage = bytes === 0 ? null : await checkDatabaseFile(file, CHECK_MS);
  return damage === null ? null : `${file}: ${damage}`;
}

/** A change, and the promise of its write. */
interface Waiting {
  readonly change: () => void;
  resolve(): void;
  reject(error: unknown): void;
}

class LmdbState implements StateStore {
  starts: readonly string[] = [];
  boot = 0;
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #probe: WriteProbe;
  readonly #tables = new Map<TableName, StateTable>();
  readonly #gate = new LmdbGate();
  #waiting: Waiting[] = [];
  #writing: Promise<void> | null = null;

  constructor(root: RootDatabase<Buffer, Buffer>, probe: WriteProbe) {
    this.#root = root;
    this.#probe = probe;
  }

  table(name: TableName): StateTable {
    let table = this.#tables.get(name);
    if (table === undefined) {
      const database = this.#root.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary' });
      table = new LmdbTable(database, this.#gate);
      this.#tables.set(name, table);
    }
    return table;
  }

  /** Calls that arrive during a sync share the next transaction. */
  write(change: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ change, resolve, reject });
      this.#writing ??= this.#writeAll();
    });
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#root.close();
    this.#probe.close();
  }

  async #writeAll(): Promise<void> {
    // Calls within one turn of the loop share a transaction.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const together = this.#waiting.splice(0);
      try {
        const refusal = this.#probe.check();
        if (refusal !== null) throw refusal;
        await this.#gate.pass(() =>
          this.#root.childTransaction(() => together.forEach(({ change }) => change())),
        );
        for (const { resolve } of together) resolve();
      } catch (error) {
        const cause = await causeOf(error);
        this.#gate.note(cause);
        for (const { reject } of together) reject(cause);
        // Lets the callers handle the rejection before the next transaction begins.
        await Promise.resolve();
      }
    }
    this.#writing = null;
  }
}

/** The cause of a failed commit: lmdb rejects with an error that has a promise of it. */
async function causeOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || !('commitError' in error)) return error;
  return await Promise.resolve(error.commitError).catch((cause: unknown) => cause);
}

class LmdbTable implements StateTable {
  readonly #database: Database<Buffer, Buffer>;
  readonly #gate: LmdbGate;

  constructor(database: Database<Buffer, Buffer>, gate: LmdbGate) {
    this.#database = database;
    this.#gate = gate;
  }

  get(key: string | Buffer): Buffer | undefined {
    return this.#gate.pass(() => this.#database.get(asKey(key)));
  }

  put(key: string | Buffer, value: Buffer): void {
    this.#database.putSync(asKey(key), value);
  }

  remove(key: string | Buffer): void {
    this.#database.removeSync(asKey(key));
  }

  *range(range: StateRange = {}): Iterable<{ key: Buffer; value: Buffer }> {
    const { from, to, limit, backwards = false } = range;
    const bounds = {
      ...(from === undefined ? {} : { start: from }),
      ...(to === undefined ? {} : { end: to }),
      ...(limit === undefined ? {} : { limit }),
    };
    const rows = this.#gate.pass(() => this.#database.getRange({ ...bounds, reverse: backwards }));
    for (const { key, value } of rows) {
      yield { key: Buffer.from(key), value: Buffer.from(value) };
    }
  }

  count(): number {
    return this.#gate.pass(() => this.#database.getCount());
  }
}

function asKey(key: string | Buffer): Buffer {
  return typeof key === 'string' ? Buffer.from(key) : key;
}

export function uint32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}

/** Extends the file with zeros to `bytes` and syncs it. LMDB later uses these pages. */
async function reserve(file: string, bytes: number): Promise<void> {
  const handle = await openFile(file, 'r+');
  try {
    const { size } = await handle.stat();
    const zeros = Buffer.alloc(2 ** 20);
    for (let at = size; at < bytes; at += zeros.length) {
      await handle.write(zeros, 0, Math.min(zeros.length, bytes - at), at);
    }
    if (size < bytes) await handle.sync();
  } finally {
    await handle.close();
  }
}
