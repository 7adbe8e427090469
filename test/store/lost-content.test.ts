/** Content on disk that is damaged, has another length, or is missing, by each way on which a worker finds that. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { readFlight, readStored, type ContentPiece, type ContentReader } from '../../proxy/store/content.ts';
import { FlightBody } from '../../proxy/store/body.ts';
import { diskCallsOf } from '../../proxy/store/disk/calls.ts';
import type { Tables } from '../../proxy/store/disk/environment.ts';
import { CHUNK_BYTES, chunkKey, idKey, numberKey, sealChunk } from '../../proxy/store/disk/format.ts';
import { sealed } from '../../proxy/store/disk/record.ts';
import { createKnownDigests } from '../../proxy/store/disk/known-digests.ts';
import { outcomesBuffer } from '../../proxy/store/disk/outcomes.ts';
import { openDiskReader } from '../../proxy/store/disk/reader.ts';
import { WorkerDiskTier, type DiskWriterLink } from '../../proxy/store/disk/worker-disk.ts';
import { createUsedEntries } from '../../proxy/store/disk/used-entries.ts';
import { createWritesInFlight, writesInFlightBuffer } from '../../proxy/store/disk/writes-in-flight.ts';
import { StoredEntry } from '../../proxy/store/entry.ts';
import { createMemoryTier } from '../../proxy/store/memory.ts';
import { Tiers } from '../../proxy/store/tiers.ts';
import { PeerLookups, type PeerLookupMessage } from '../../proxy/fetch/peers/lookups.ts';
import { HASH_KEY_WORDS, KeyedHash } from '../../proxy/threads/keyed-hash.ts';
import { content, entry, entryId, MIB, store } from './disk/support/entries.ts';
import { callsParts, openTables, scratchFolder } from './disk/support/open-disk.ts';

const SIZE = CHUNK_BYTES * 3 + 1_000;
const HEAD = entry(1, { sizeBytes: SIZE });
const { id, key } = HEAD;
const REQUEST = { method: 'GET', fields: [] } as const;
const HASH = new KeyedHash(new Uint32Array(HASH_KEY_WORDS));

/** Two workers over one disk that holds entry 1, of `sizeBytes`. */
async function workersOver(sizeBytes: number) {
  const path = scratchFolder();
  const disk = openTables(path);
  const workers: Tiers[] = [];
  const { calls } = diskCallsOf(
    callsParts(disk.writer, (dropped, droppedId) =>
      workers.forEach((tiers) => tiers.forget(dropped, droppedId)),
    ),
  );
  const ask = calls as unknown as Record<string, (argument: unknown) => Promise<boolean>>;
  const link: DiskWriterLink = {
    call: async (name, argument) => await ask[name]!(argument),
    tell: (name, argument) => void ask[name]!(argument),
  };
  for (const index of [0, 1]) {
    const writesInFlight = createWritesInFlight(writesInFlightBuffer(), index, HASH);
    const used = createUsedEntries(disk.writer.shared.used);
    const opening = openDiskReader({ path, onDamaged: (lost, lostId) => void tier.discard(lost, lostId) });
    if (opening.kind === 'failed') throw new Error(opening.reason);
    const { reader } = opening;
    onTestFinished(() => reader.close());
    const known = createKnownDigests(disk.writer.shared.known);
    const outgoing = { outcomes: outcomesBuffer(1), worker: 0, creditBytes: MIB, known };
    const tier = new WorkerDiskTier({ reader, writer: link, writesInFlight, used, ...outgoing });
    workers.push(new Tiers(createMemoryTier(8 * MIB, 0.5), tier, () => null));
  }
  expect(await store(disk.writer, 1, { sizeBytes })).toBe('stored');
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
  'a missing last chunk': ({ chunks }) => void chunks.removeSync(chunkKey(id, 3)),
  'a short chunk': (tables) => putChunk(tables, 1, content(1, 500)),
  'a short last chunk': (tables) => putChunk(tables, 3, content(1, 999)),
  'a long last chunk': (tables) => putChunk(tables, 3, content(1, 1_001)),
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
    const workers = await workersOver(SIZE);
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

/** The number of the first record. */
const FIRST = numberKey(1);

function flip(table: Tables['records'], at: number): void {
  const bytes = Buffer.from(table.get(FIRST)!);
  bytes[at < 0 ? bytes.length + at : at]! ^= 1;
  table.putSync(FIRST, bytes);
}

const SMALL_LOSSES: Readonly<Record<string, readonly [sizeBytes: number, lose: (tables: Tables) => void]>> = {
  'a damaged head': [1_000, ({ records }) => flip(records, 40)],
  'damaged content in its record': [1_000, ({ records }) => flip(records, -10)],
  'no record': [1_000, ({ records }) => void records.removeSync(FIRST)],
  'the record of another': [
    1_000,
    ({ records }) => void records.putSync(FIRST, sealed(entry(2, { sizeBytes: 0 }), [], 64)),
  ],
  'damaged content beside its record': [20_000, ({ pieces }) => flip(pieces, 5_000)],
  'no content beside its record': [20_000, ({ pieces }) => void pieces.removeSync(FIRST)],
  'cut content beside its record': [20_000, ({ pieces }) => void pieces.putSync(FIRST, content(1, 19_999))],
  'content of another beside its record': [
    20_000,
    ({ pieces }) => void pieces.putSync(FIRST, content(2, 20_000)),
  ],
  'a damaged head that an update brought': [
    1_000,
    ({ updates }) => {
      const bytes = Buffer.from(updates.get(idKey(id))!);
      bytes[50]! ^= 1;
      updates.putSync(idKey(id), bytes);
    },
  ],
};

describe('a small entry on disk', () => {
  it.each(Object.keys(SMALL_LOSSES))(
    'with %s is a miss, and is removed at once from every worker',
    async (loss) => {
      const [sizeBytes, lose] = SMALL_LOSSES[loss]!;
      const { tables, writer, calls, finder, other } = await workersOver(sizeBytes);
      expect(other.find(key, REQUEST, HEAD.route).entry?.content).toEqual(content(1, sizeBytes));
      await calls.updateEntry({ head: { ...HEAD, sizeBytes, floor: 9 }, isSynced: false });
      lose(tables);
      expect(finder.find(key, REQUEST, HEAD.route)).toEqual({ entry: null, miss: 'uri-miss' });
      await writer.idle();
      expect(other.memory.get(key)).toEqual([]);
      await calls.updateEntry({ head: { ...HEAD, sizeBytes, floor: 99 }, isSynced: false });
      for (const tiers of [finder, other]) expect(tiers.find(key, REQUEST, HEAD.route).entry).toBeNull();
      expect(writer.stats()).toMatchObject({ entries: 0, bytes: 0, discarded: 1 });
      expect(await store(writer, 2, { key, sizeBytes })).toBe('stored');
      for (const tiers of [finder, other]) {
        const found = tiers.find(key, REQUEST, HEAD.route).entry;
        expect([found?.head.id, found?.content]).toEqual([entryId(2), content(2, sizeBytes)]);
      }
    },
  );

  it('keeps its record unchanged when it is confirmed, under the later head', async () => {
    for (const sizeBytes of [0, 1_000, 20_000]) {
      const { calls, tables, finder } = await workersOver(sizeBytes);
      const before = tables.records.get(FIRST);
      await calls.updateEntry({ head: { ...HEAD, sizeBytes, floor: 9 }, isSynced: false });
      const found = finder.find(key, REQUEST, HEAD.route).entry;
      expect([found?.head.floor, found?.content]).toEqual([9, content(1, sizeBytes)]);
      expect(tables.records.get(FIRST)).toEqual(before);
    }
  });
});
