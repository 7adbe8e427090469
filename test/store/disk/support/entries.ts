/** Entries and bodies for tests of the disk tier, without a test runner, because threads and processes use them, too. */
import type { StoredMeta } from '../../../../policies/model.ts';
import { CHUNK_BYTES, contentKind, digestOf } from '../../../../proxy/store/disk/format.ts';
import { createKnownDigests } from '../../../../proxy/store/disk/known-digests.ts';
import { sealed } from '../../../../proxy/store/disk/record.ts';
import type { DiskReader } from '../../../../proxy/store/disk/reader.ts';
import type { DiskWriter } from '../../../../proxy/store/disk/writer.ts';
import type { EntryHead } from '../../../../proxy/store/entry-head.ts';

export const MIB = 1024 * 1024;

export const META: StoredMeta = {
  status: 200,
  fields: ['Content-Type', 'text/plain', 'X-Name', 'caf\u00e9'],
  requestTimeMs: 1_000,
  responseTimeMs: 2_000,
  initialAgeSeconds: 0,
  lifetimeSeconds: 60,
  lifetimeSource: 'max-age',
  headerLifetimeSeconds: 60,
  dateMs: 1_000,
  noCache: false,
  mustRevalidate: false,
  staleWhileRevalidateSeconds: 0,
  staleIfErrorSeconds: 0,
  vary: [],
  varyValues: [],
  etag: '"1"',
  lastModifiedMs: null,
  lastModifiedStrong: false,
  part: null,
  responseTags: [],
};

/** The ids of a state's starts, up to the one with the number `start`. */
export function startsUntil(start: number): string[] {
  return Array.from({ length: start }, (_, n) => `start ${n + 1}`);
}

export function entryId(n: number): string {
  return n.toString(16).padStart(16, '0');
}

export function entry(n: number, changes: Partial<EntryHead> = {}): EntryHead {
  return {
    id: entryId(n),
    key: `shop /things/${n}`,
    route: 'things',
    origin: 'shop',
    url: `/things/${n}`,
    meta: META,
    tags: ['things', `thing:${n}`],
    tagHashes: Uint32Array.of(n, 0xffff_ffff, 7, n * 3),
    floor: 5,
    sizeBytes: 10,
    evictLast: false,
    possiblyStale: false,
    ...changes,
  };
}

/** The content of entry n: a pattern whose length does not divide a chunk's, so that a misplaced chunk is detected. */
export function content(n: number, sizeBytes: number): Buffer {
  const pattern = Buffer.from(Array.from({ length: 1009 }, (_, i) => (n * 31 + i * 7 + (i >> 8)) & 0xff));
  return Buffer.alloc(sizeBytes, pattern);
}

export function chunksOf(bytes: Uint8Array): Uint8Array[] {
  const count = Math.ceil(bytes.length / CHUNK_BYTES);
  return Array.from({ length: count }, (_, i) => bytes.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES));
}

/** Begins an entry and appends its content in chunks. False: a chunk was refused. */
export async function appendContent(writer: DiskWriter, id: string, bytes: Uint8Array): Promise<boolean> {
  writer.begin(id);
  const appended = await Promise.all(chunksOf(bytes).map((chunk, i) => writer.append(id, i, chunk)));
  return !appended.includes(false);
}

/** Stores entry n with its `content`. */
export async function store(
  writer: DiskWriter,
  n: number,
  changes: Partial<EntryHead> = {},
  maxVariants = 64,
): Promise<'stored' | 'refused'> {
  const head = entry(n, changes);
  const bytes = content(n, head.sizeBytes);
  if (contentKind(head.sizeBytes) !== 'chunks') {
    createKnownDigests(writer.shared.known).raise(digestOf(head.key));
    return await writer.store(sealed(head, [bytes], maxVariants));
  }
  await appendContent(writer, head.id, bytes);
  return await commit(writer, head, maxVariants);
}

/** Commits an entry whose chunks were filled. */
export function commit(writer: DiskWriter, head: EntryHead, maxVariants = 64): Promise<'stored' | 'refused'> {
  createKnownDigests(writer.shared.known).raise(digestOf(head.key));
  return writer.commit(sealed(head, [], maxVariants));
}

/** The body of an entry as a reader finds it; null where some of it is missing. */
export function bodyOf(reader: DiskReader, head: EntryHead): Buffer | null {
  if (contentKind(head.sizeBytes) !== 'chunks') {
    const bytes = reader.content(head.key, head.id);
    return bytes === null ? null : Buffer.from(bytes);
  }
  const chunks: Uint8Array[] = [];
  for (let i = 0; i * CHUNK_BYTES < head.sizeBytes; i += 1) {
    const chunk = reader.chunk(head.id, i);
    if (chunk === null) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The heads of all entries that match, as a scan finds them. */
export async function scanned(
  writer: DiskWriter,
  matches: (head: EntryHead) => boolean = () => true,
): Promise<EntryHead[]> {
  const found: EntryHead[] = [];
  for await (const heads of writer.scan(matches)) found.push(...heads);
  return found;
}
