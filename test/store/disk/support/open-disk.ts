/** The disk tier opened for a test and closed after it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { DiskEvent } from '../../../../proxy/store/disk/events.ts';
import { WriteProbe } from '../../../../proxy/state/write-probe.ts';
import { openForWriting, type Tables } from '../../../../proxy/store/disk/environment.ts';
import { openDiskWriter, type DiskOptions } from '../../../../proxy/store/disk/open.ts';
import type { DiskCallsParts } from '../../../../proxy/store/disk/calls.ts';
import { EntryOutcomes } from '../../../../proxy/store/disk/outcomes.ts';
import { DiskQuota } from '../../../../proxy/store/disk/quota.ts';
import { openDiskReader, type DiskReader } from '../../../../proxy/store/disk/reader.ts';
import { diskShared } from '../../../../proxy/store/disk/shared.ts';
import { DiskWriter } from '../../../../proxy/store/disk/writer.ts';
import { MIB, startsUntil } from './entries.ts';

/** A folder that is deleted after the test. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'weir-disk-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface OpenDisk {
  readonly writer: DiskWriter;
  readonly reader: DiskReader;
  readonly trusted: boolean;
  readonly report: readonly string[];
  readonly events: DiskEvent[];
  close(): Promise<void>;
}

/** Writer and reader in this thread, closed after the test. */
export async function openDisk(path: string, options: Partial<DiskOptions> = {}): Promise<OpenDisk> {
  const events: DiskEvent[] = [];
  const opening = await openDiskWriter({
    path,
    sizeBytes: 64 * MIB,
    queueBytes: 64 * MIB,
    workers: 1,
    lingerMs: 0,
    starts: startsUntil(1),
    log: (event) => events.push(event),
    ...options,
  });
  if (opening.kind === 'failed') throw new Error(opening.reason);
  const reading = openDiskReader({ path });
  if (reading.kind === 'failed') throw new Error(reading.reason);
  const { writer, trusted, report } = opening;
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing ??= reading.reader.close().then(() => writer.close());
    return closing;
  };
  onTestFinished(close);
  return { writer, reader: reading.reader, trusted, report, events, close };
}

/** The parts of one worker's calls. */
export function callsParts(writer: DiskWriter, dropEntry: DiskCallsParts['dropEntry']): DiskCallsParts {
  const outcomes = new EntryOutcomes(writer.shared.outcomes, 0);
  return { writer, outcomes, dropEntry, arrivals: () => outcomes.arrived() };
}

/** The same with the writer's LMDB tables, so that the test can reach what lies in them. */
export function openTables(path: string): {
  tables: Tables;
  writer: DiskWriter;
  reader: DiskReader;
  close: () => Promise<void>;
} {
  const sizeBytes = 16 * MIB;
  const probe = new WriteProbe(path);
  const tables = openForWriting(path, sizeBytes);
  const quota = new DiskQuota(sizeBytes);
  const writer = new DiskWriter({
    path,
    probe,
    tables,
    quota,
    queueBytes: sizeBytes,
    lingerMs: 0,
    shared: diskShared(sizeBytes, 1),
    log: () => {},
  });
  const reading = openDiskReader({ path });
  if (reading.kind === 'failed') throw new Error(reading.reason);
  const { reader } = reading;
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing ??= reader.close().then(() => writer.close());
    return closing;
  };
  onTestFinished(close);
  return { tables, writer, reader, close };
}
