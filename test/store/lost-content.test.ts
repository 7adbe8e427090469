/** Content on disk that is damaged, of another length or missing, at each place where a worker can detect it. */
import { describe, expect, it } from 'vitest';
import { readFlight, readStored, type ContentPiece, type ContentReader } from '../../proxy/store/content.ts';
import { FlightBody } from '../../proxy/store/body.ts';
import { diskCallsOf } from '../../proxy/store/disk/calls.ts';
import type { Tables } from '../../proxy/store/disk/environment.ts';
import { CHUNK_BYTES, chunkKey, sealChunk } from '../../proxy/store/disk/format.ts';
import { WorkerDiskTier, type DiskWriterLink } from '../../proxy/store/disk/worker-disk.ts';
import { createWritesInFlight, writesInFlightBuffer } from '../../proxy/store/disk/writes-in-flight.ts';
import { StoredEntry } from '../../proxy/store/entry.ts';
import { createMemoryTier } from '../../proxy/store/memory.ts';
import { Tiers } from '../../proxy/store/tiers.ts';
import { PeerLookups, type PeerLookupMessage } from '../../proxy/fetch/peers/lookups.ts';
import { HASH_KEY_WORDS, KeyedHash } from '../../proxy/threads/keyed-hash.ts';
import { content, entry, entryId, MIB, store } from './disk/support/entries.ts';
import { openTables, scratchFolder } from './disk/support/open-disk.ts';

const SIZE = CHUNK_BYTES * 2 + 1_000;
const HEAD = entry(1, { sizeBytes: SIZE });
const { id, key } = HEAD;
const REQUEST = { method: 'GET', fields: [] } as const;
const HASH = new KeyedHash(new Uint32Array(HASH_KEY_WORDS));

/** Two workers over one disk that holds entry 1, in three chunks. */
async function workersOver() {
  const disk = openTables(scratchFolder());
  const workers: Tiers[] = [];
  const { calls } = diskCallsOf(disk.writer, (dropped, droppedId) =>
    workers.forEach((tiers) => tiers.forget(dropped, droppedId)),
  );
  const ask = calls as unknown as Record<string, (argument: unknown) => Promise<boolean>>;
  const link: DiskWriterLink = {
    call: async (name, argument) => await ask[name]!(argument),
    tell: (name, argument) => void ask[name]!(argument),
  };
  for (const index of [0, 1]) {
    const inFlight = createWritesInFlight(writesInFlightBuffer(), index, HASH);
    const tier = new WorkerDiskTier(disk.reader, link, inFlight);
    workers.push(new Tiers(createMemoryTier(8 * MIB, 0.5), tier, () => null));
  }
  expect(await store(disk.writer, 1, { sizeBytes: SIZE })).toBe('stored');
  return { ...disk, calls, finder: workers[0]!, other: workers[1]! };
}

type Workers = Awaited<ReturnType<typeof workersOver>>;

/** A chunk of these bytes, with the right checksum. */
function putChunk({ chunks }: Tables, index: number, bytes: Uint8Array): void {
  const at = chunkKey(id, index);
  chunks.putSync(at, sealChunk(at, bytes, Buffer.alloc(bytes.length + 4)));
}

const LOSSES: Readonly<Record<string, (tables: Tables) => void>> = {
  'a damaged chunk': ({ chunks }) => {
    const sealed = Buffer.from(chunks.get(chunkKey(id, 1))!);
    sealed[100]! ^= 1;
    chunks.putSync(chunkKey(id, 1), sealed);
  },
  'a missing chunk': ({ chunks }) => void chunks.removeSync(chunkKey(id, 1)),
  'a missing last chunk': ({ chunks }) => void chunks.removeSync(chunkKey(id, 2)),
  'a short chunk': (tables) => putChunk(tables, 1, content(1, 500)),
  'a short last chunk': (tables) => putChunk(tables, 2, content(1, 999)),
  'a long last chunk': (tables) => putChunk(tables, 2, content(1, 1_001)),
  'an empty chunk': (tables) => putChunk(tables, 1, new Uint8Array()),
  'a chunk without a checksum': ({ chunks }) => void chunks.putSync(chunkKey(id, 1), Buffer.alloc(3)),
};

/** Reads until the content ends or is cut. */
async function readAll(open: (onProgress: () => void) => ContentReader): Promise<ContentPiece['kind']> {
  let progress = Promise.withResolvers<void>();
  const reader = open(() => progress.resolve());
  for (;;) {
    const piece = reader.next();
    if (piece.kind === 'bytes') reader.advance(piece.bytes.byteLength);
    else if (piece.kind === 'wait') {
      await progress.promise;
      progress = Promise.withResolvers();
    } else {
      reader.close();
      return piece.kind;
    }
  }
}

/** Each detects the loss, and resolves when the worker has handled it. */
const FINDERS: Readonly<Record<string, (workers: Workers) => Promise<void>>> = {
  'a lookup that promotes it to memory': async ({ finder }) => {
    expect(finder.find(key, REQUEST, HEAD.route).entry).toBeNull();
  },
  'the check before a 304 confirms it': async ({ finder }) => {
    expect(finder.isReadable(new StoredEntry(HEAD, null, []))).toBe(false);
    await finder.discard(HEAD);
  },
  'a client that reads it': async ({ finder }) => {
    expect(await readAll((onProgress) => readStored({ head: HEAD, tiers: finder }, 0, onProgress))).toBe(
      'cut',
    );
  },
  'a client that reads a range of it': async ({ finder }) => {
    const from = CHUNK_BYTES + 600;
    expect(await readAll((onProgress) => readStored({ head: HEAD, tiers: finder }, from, onProgress))).toBe(
      'cut',
    );
  },
  'a peer lookup by another worker': async ({ finder, other }) => {
    const wanted = { key, request: REQUEST, route: HEAD.route, maxVariants: 8 };
    const answering = new PeerLookups(finder, (message) => asking.receive(message));
    const asking: PeerLookups = new PeerLookups(other, (message: PeerLookupMessage) =>
      answering.receive(message),
    );
    const found = await new Promise<StoredEntry | null>((take) => asking.ask(wanted, take));
    expect(found).toBeNull();
  },
  'a client that has fallen behind the fetch that it follows': async ({ finder }) => {
    const body = new FlightBody({
      windowBytes: 1_000,
      keepsAll: false,
      isStored: true,
      pause: () => {},
      resume: () => {},
      onDeserted: () => {},
    });
    for (let at = 0; at < SIZE; at += 10_000) body.append(content(1, SIZE).subarray(at, at + 10_000));
    body.storedUpTo(SIZE);
    body.end([]);
    expect(
      await readAll((onProgress) => readFlight(body, { head: HEAD, tiers: finder }, 0, onProgress)),
    ).toBe('cut');
  },
};

const CASES = Object.keys(LOSSES).flatMap((loss) => Object.keys(FINDERS).map((by) => [loss, by] as const));

describe('an entry on disk', () => {
  it.each(CASES)('with %s, detected by %s, is removed at once from every worker', async (loss, by) => {
    const workers = await workersOver();
    const { tables, writer, calls, finder, other } = workers;
    const ofOther = other.find(key, REQUEST, HEAD.route).entry;
    expect(ofOther?.content).not.toBeNull();
    LOSSES[loss]!(tables);
    if (by.includes('another')) other.memory.remove(key, id);
    await FINDERS[by]!(workers);
    await writer.idle();
    expect(other.memory.get(key)).toEqual([]);
    // A 304 that confirms the entry meanwhile does not restore it.
    await calls.updateEntry({ head: { ...HEAD, floor: 99 }, isSynced: false });
    await Promise.all([finder, other].map((tiers) => tiers.update({ ...HEAD, floor: 99 })));
    for (const tiers of [finder, other]) expect(tiers.find(key, REQUEST, HEAD.route).entry).toBeNull();
    expect(writer.stats()).toMatchObject({ entries: 0, discarded: 1 });
    expect(await store(writer, 2, { key, sizeBytes: SIZE })).toBe('stored');
    for (const tiers of [finder, other]) {
      const found = tiers.find(key, REQUEST, HEAD.route).entry;
      expect([found?.head.id, found?.content]).toEqual([entryId(2), content(2, SIZE)]);
    }
  });
});
