/**
 * The LMDB environment of the cache and its tables. The coordinator opens it for writing first; every worker then opens
 * it for reading. All handles of one file in a process share one native environment, with the writer's options.
 */
import { open, type Database, type RootDatabase } from 'lmdb';
import { join } from 'node:path';
import { PAGE_BYTES } from '../../state/file-check.ts';

export type Table = Database<Buffer, Buffer>;

export interface Tables {
  readonly root: RootDatabase<Buffer, Buffer>;
  /** Format and identity of the cache, its content bytes, and the hand of eviction. */
  readonly about: Table;
  /** Digest of a primary key → row of its variants. */
  readonly rows: Table;
  /** Number → record, in the order of storing. */
  readonly records: Table;
  /** Number → content that is too large for the record and too small for chunks. */
  readonly pieces: Table;
  /** Id → record of an entry without content, from its last update. */
  readonly updates: Table;
  /** Id and index → content and checksum. */
  readonly chunks: Table;
  /** Ids whose chunks have no row: entries being written, and removed ones whose chunks are not deleted yet. */
  readonly orphans: Table;
}

export const dataFile = (path: string): string => join(path, 'data.mdb');
export const lockFile = (path: string): string => join(path, 'lock.mdb');

const BINARY = { keyEncoding: 'binary', encoding: 'binary' } as const;

/**
 * A commit is synced after it is visible (`overlappingSync`). After a crash of the process every commit is there; after
 * one of the machine those that were not synced are lost. The tree is whole in both cases.
 */
export function openForWriting(path: string, sizeBytes: number): Tables {
  const options = {
    ...BINARY,
    path,
    noSubdir: false,
    pageSize: PAGE_BYTES,
    // Where the map is too small, lmdb maps the file anew under the readers. With room to spare it never does.
    mapSize: Math.ceil((sizeBytes * 1.25) / PAGE_BYTES) * PAGE_BYTES,
    maxDbs: 8,
    maxReaders: 256,
    overlappingSync: true,
    // Otherwise lmdb makes a promise at each turn that nobody holds, and a failed commit rejects that one, too.
    eventTurnBatching: false,
    compression: false,
    permissionsMode: 0o600,
  };
  return tablesOf(open<Buffer, Buffer>(options));
}

/** Throws where the writer has not created the tables. */
export function openForReading(path: string): Tables {
  return tablesOf(open<Buffer, Buffer>({ ...BINARY, path, noSubdir: false, maxDbs: 8, readOnly: true }));
}

function tablesOf(root: RootDatabase<Buffer, Buffer>): Tables {
  const table = (name: string): Table => {
    // lmdb's type leaves out undefined, which a reader gets for a table that does not exist.
    const opened: Table | undefined = root.openDB<Buffer, Buffer>(name, { ...BINARY });
    if (opened === undefined) throw new Error(`no table ${name} in the cache`);
    return opened;
  };
  return {
    root,
    about: table('about'),
    rows: table('rows'),
    records: table('records'),
    pieces: table('pieces'),
    updates: table('updates'),
    chunks: table('chunks'),
    orphans: table('orphans'),
  };
}

export interface PageCounts {
  /** Pages that a table uses. */
  readonly used: number;
  /** Pages of the file, free ones included. The file never shrinks. */
  readonly file: number;
}

interface TableStats {
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
  readonly entryCount: number;
}

interface EnvironmentStats extends TableStats {
  readonly lastPageNumber: number;
  readonly lastTxnId: number;
  readonly free: TableStats;
}

const META_PAGES = 2;

export function countPages(tables: Tables): PageCounts {
  const { about, rows, records, pieces, updates, chunks, orphans } = tables;
  const stats = [about, rows, records, pieces, updates, chunks, orphans].map(statsOf);
  const used = stats.reduce((sum, each) => sum + pagesOf(each), META_PAGES + 1 + pagesOf(stats[0]!.free));
  return { used, file: stats[0]!.lastPageNumber + 1 };
}

/**
 * The value under a key, in memory that the next read of this thread changes, or in LMDB's map, which changes after the
 * turn. To be copied before either.
 */
export function peek(table: Table, key: Uint8Array): Buffer | null {
  const value = table.getBinaryFast(key as Buffer);
  // lmdb sets the length of its reused buffer by a property that views do not follow.
  return value === undefined ? null : value.subarray(0, value.length);
}

export function countRecords(table: Table): number {
  return statsOf(table).entryCount;
}

/**
 * How many commits the oldest open read snapshot lies behind the last one; 0: none is open. LMDB reuses no page that
 * was freed after that snapshot, and takes new ones from the end of the file instead.
 */
export function oldestSnapshotLag({ root, about }: Tables): number {
  const last = statsOf(about).lastTxnId;
  // This thread's own, which the next read opens anew.
  root.resetReadTxn();
  // A heading, then a line a reader: process, thread, and the transaction of its snapshot or `-`.
  const snapshots = root
    .readerList()
    .split('\n')
    .map((line) => Number.parseInt(line.trim().split(/\s+/)[2] ?? '', 10))
    .filter((snapshot) => Number.isInteger(snapshot));
  return snapshots.length === 0 ? 0 : Math.max(0, last - Math.min(...snapshots));
}

function statsOf(table: Table): EnvironmentStats {
  // lmdb's type is `{}`; its native code sets these fields.
  return table.getStats() as EnvironmentStats;
}

function pagesOf(stats: TableStats): number {
  return stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages;
}
