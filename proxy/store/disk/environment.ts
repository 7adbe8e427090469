/**
 * The LMDB environment of the cache and its tables. The coordinator opens it for writing first; every worker then opens
 * it for reading. Within a process all handles of one file share one native environment, so options are the writer's.
 */
import { open, type Database, type RootDatabase } from 'lmdb';
import { join } from 'node:path';
import { PAGE_BYTES } from '../../state/file-check.ts';

export type Table = Database<Buffer, Buffer>;

export interface Tables {
  readonly root: RootDatabase<Buffer, Buffer>;
  /** What the cache is: format, identity, totals. */
  readonly about: Table;
  /** Lookup and id → head. */
  readonly heads: Table;
  /** Id → where its other records are. */
  readonly places: Table;
  /** Order of eviction → nothing. */
  readonly recency: Table;
  /** Id and index → content and checksum. */
  readonly chunks: Table;
  /** Ids of chunks that have no head: fills under way, and what was removed and is not swept yet. */
  readonly debris: Table;
}

export const dataFile = (path: string): string => join(path, 'data.mdb');
export const lockFile = (path: string): string => join(path, 'lock.mdb');

const BINARY = { keyEncoding: 'binary', encoding: 'binary' } as const;

/**
 * Commits are synced right behind (`overlappingSync`): after a crash of the process all of them are there, after one of
 * the machine all but the last, and the tree is whole in both cases.
 */
export function openForWriting(path: string, sizeBytes: number): Tables {
  const options = {
    ...BINARY,
    path,
    noSubdir: false,
    pageSize: PAGE_BYTES,
    // LMDB takes more address space when it runs out, by remapping under the readers. With room to spare it never does.
    mapSize: Math.ceil((sizeBytes * 1.25) / PAGE_BYTES) * PAGE_BYTES,
    maxDbs: 8,
    maxReaders: 256,
    overlappingSync: true,
    // With it, lmdb makes a promise at each turn that nobody holds, and a failed commit rejects that one too.
    eventTurnBatching: false,
    compression: false,
    permissionsMode: 0o600,
  };
  return tablesOf(open<Buffer, Buffer>(options));
}

/** Throws where the writer has not made the tables. */
export function openForReading(path: string): Tables {
  return tablesOf(open<Buffer, Buffer>({ ...BINARY, path, noSubdir: false, maxDbs: 8, readOnly: true }));
}

function tablesOf(root: RootDatabase<Buffer, Buffer>): Tables {
  const table = (name: string): Table => {
    // lmdb declares a table, and gives undefined where a reader asks for one that is not there.
    const opened: Table | undefined = root.openDB<Buffer, Buffer>(name, { ...BINARY });
    if (opened === undefined) throw new Error(`no table ${name} in the cache`);
    return opened;
  };
  return {
    root,
    about: table('about'),
    heads: table('heads'),
    places: table('places'),
    recency: table('recency'),
    chunks: table('chunks'),
    debris: table('debris'),
  };
}

export interface PageCounts {
  /** In use by any table. */
  readonly used: number;
  /** In the file, free ones included; it never shrinks. */
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
  const { about, heads, places, recency, chunks, debris } = tables;
  const stats = [about, heads, places, recency, chunks, debris].map(statsOf);
  const used = stats.reduce((sum, each) => sum + pagesOf(each), META_PAGES + 1 + pagesOf(stats[0]!.free));
  return { used, file: stats[0]!.lastPageNumber + 1 };
}

export function countRecords(table: Table): number {
  return statsOf(table).entryCount;
}

/**
 * How many commits the oldest open read snapshot lies behind the last one; 0: none is open. LMDB reuses no page that was
 * freed after that snapshot, and takes new ones from the end of the file instead.
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
  // lmdb declares `{}`; these are the fields that its native side sets.
  return table.getStats() as EnvironmentStats;
}

function pagesOf(stats: TableStats): number {
  return stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages;
}
