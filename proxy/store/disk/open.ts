/**
 * Opens the cache's disk tier for its one writer. A cache that can't be trusted is emptied: one that is damaged, of
 * another format, or not of this state.
 */
import { chmodSync, mkdirSync, rmSync, statSync } from 'node:fs';
import type { Mechanisms } from '../../mechanisms.ts';
import { checkDatabaseFile } from '../../state/file-check.ts';
import { WriteProbe } from '../../state/write-probe.ts';
import { Committer } from './committer.ts';
import { dataFile, lockFile, openForWriting, type Tables } from './environment.ts';
import { FORMAT_VERSION } from './format.ts';
import { DiskQuota } from './quota.ts';
import { diskShared } from './shared.ts';
import { DiskWriter, type DiskWriterOptions } from './writer.ts';

export interface DiskOptions extends Pick<DiskWriterOptions, 'queueBytes' | 'log' | 'surplus'> {
  /** As the writer's; absent: a few milliseconds. */
  readonly lingerMs?: number;
  /** The cache's own folder; created with mode 0700 where it is missing. */
  readonly path: string;
  /** The largest size of the data file. */
  readonly sizeBytes: number;
  readonly workers: number;
  /** `StateStore.starts`. */
  readonly starts: readonly string[];
  /** All of them, unless a test leaves some out. */
  readonly mechanisms?: Pick<Mechanisms, 'identity'>;
}

export type DiskOpening =
  | {
      readonly kind: 'open';
      readonly writer: DiskWriter;
      /** False: the cache was of another state, or of a later start of this one, and was emptied. */
      readonly trusted: boolean;
      /** Messages to the operator; none where the cache was sound. */
      readonly report: readonly string[];
    }
  | { readonly kind: 'failed'; readonly reason: string };

/** A transaction costs as much as some twenty small entries. */
const LINGER_MS = 10;

/** A smaller file has no room besides LMDB's own pages. */
export const SMALLEST_BYTES = 4 * 1024 * 1024;

export async function openDiskWriter(options: DiskOptions): Promise<DiskOpening> {
  const { path, sizeBytes } = options;
  if (sizeBytes < SMALLEST_BYTES) return { kind: 'failed', reason: `a size below ${SMALLEST_BYTES} bytes` };
  const report: string[] = [];
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chmodSync(path, 0o700);
    const probe = new WriteProbe(path);
    const found = await openTrusted({ ...options, probe }, report);
    const writer = new DiskWriter({
      lingerMs: LINGER_MS,
      ...options,
      shared: diskShared(sizeBytes, options.workers),
      probe,
      tables: found.tables,
      quota: new DiskQuota(sizeBytes),
    });
    return { kind: 'open', writer, trusted: found.trusted, report };
  } catch (error) {
    return { kind: 'failed', reason: messageOf(error) };
  }
}

/** Deletes all that is stored. Nobody may have the cache open. */
export function emptyCache(path: string): void {
  rmSync(dataFile(path), { force: true });
  rmSync(lockFile(path), { force: true });
}

interface Opening extends DiskOptions {
  readonly probe: WriteProbe;
}

type Found =
  | { readonly kind: 'trusted'; readonly tables: Tables }
  | { readonly kind: 'none' }
  /** Damaged, of another format, too large. */
  | { readonly kind: 'unusable'; readonly reason: string }
  /** Sound, but written after invalidations that this state does not know. */
  | { readonly kind: 'foreign'; readonly reason: string };

async function openTrusted(
  options: Opening,
  report: string[],
): Promise<{ tables: Tables; trusted: boolean }> {
  const found = await find(options);
  switch (found.kind) {
    case 'trusted':
      return { tables: await claim(found.tables, options), trusted: true };
    case 'none':
      return { tables: await openNew(options), trusted: true };
    case 'unusable':
    case 'foreign':
      report.push(`the cache was emptied: ${found.reason}`);
      return { tables: await openNew(options), trusted: found.kind === 'unusable' };
    default:
      return found satisfies never;
  }
}

async function find({ path, sizeBytes, starts, mechanisms }: DiskOptions): Promise<Found> {
  const fileBytes = statSync(dataFile(path), { throwIfNoEntry: false })?.size;
  if (fileBytes === undefined || fileBytes === 0) return { kind: 'none' };
  if (fileBytes > sizeBytes)
    return { kind: 'unusable', reason: 'its file is larger than its size may be now' };
  const damage = await checkDatabaseFile(dataFile(path));
  if (damage !== null) return { kind: 'unusable', reason: damage };
  let tables: Tables;
  try {
    tables = openForWriting(path, sizeBytes);
  } catch (error) {
    return { kind: 'unusable', reason: messageOf(error) };
  }
  const isBelieved = mechanisms?.identity === false;
  const distrust = isBelieved ? null : judge(tables.about.get(IDENTITY), starts);
  if (distrust === null) return { kind: 'trusted', tables };
  await tables.root.close();
  return distrust;
}

async function openNew(options: Opening): Promise<Tables> {
  const { path, sizeBytes } = options;
  emptyCache(path);
  return await claim(openForWriting(path, sizeBytes), options);
}

const IDENTITY = Buffer.from('identity');

interface IdentityRecord {
  readonly format: number;
  /** The id of the state's start under which the cache was last opened. */
  readonly start: string;
}

/**
 * Null: trusted. A start that this state does not know, or this one's own id, is of another state or of another copy of
 * it: this state may lack invalidations that the cache's entries should be judged by.
 */
function judge(record: Buffer | undefined, starts: readonly string[]): Found | null {
  const written = record === undefined ? null : identityOf(record);
  if (written === null) return { kind: 'unusable', reason: 'it does not say whose it is' };
  if (written.format !== FORMAT_VERSION)
    return { kind: 'unusable', reason: `its format is ${written.format}` };
  if (starts.slice(0, -1).includes(written.start)) return null;
  return { kind: 'foreign', reason: 'it was last opened under another state, or a later start of this one' };
}

function identityOf(record: Buffer): IdentityRecord | null {
  try {
    const value: unknown = JSON.parse(record.toString());
    return isIdentity(value) ? value : null;
  } catch {
    return null;
  }
}

function isIdentity(value: unknown): value is IdentityRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { format, start } = value as Partial<Record<keyof IdentityRecord, unknown>>;
  return typeof format === 'number' && typeof start === 'string';
}

/** Writes the identity, synced before anything is stored under this start. */
async function claim(tables: Tables, { starts, probe }: Opening): Promise<Tables> {
  const record: IdentityRecord = { format: FORMAT_VERSION, start: starts.at(-1)! };
  const commits = new Committer(tables.root, probe);
  const claimed = await commits.commit(
    () => void tables.about.putSync(IDENTITY, Buffer.from(JSON.stringify(record))),
  );
  const failure = claimed ?? (await commits.sync());
  if (failure !== null) throw new Error(failure.reason);
  return tables;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
