import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { DiskCalls } from '../../../proxy/store/disk/call-types.ts';
import { diskCallsOf } from '../../../proxy/store/disk/calls.ts';
import { SMALL_BYTES } from '../../../proxy/store/disk/format.ts';
import { createKnownDigests, knownDigestsBuffer } from '../../../proxy/store/disk/known-digests.ts';
import { EntryOutcomes, OPEN_ENTRIES, outcomesBuffer } from '../../../proxy/store/disk/outcomes.ts';
import type { EntryBatch } from '../../../proxy/store/disk/outgoing.ts';
import { entriesOf, headOf } from '../../../proxy/store/disk/record.ts';
import { openDiskReader } from '../../../proxy/store/disk/reader.ts';
import { WorkerDiskTier, type DiskWriterLink } from '../../../proxy/store/disk/worker-disk.ts';
import { createUsedEntries, usedEntriesBuffer } from '../../../proxy/store/disk/used-entries.ts';
import { createWritesInFlight, writesInFlightBuffer } from '../../../proxy/store/disk/writes-in-flight.ts';
import type { EntryHead } from '../../../proxy/store/entry-head.ts';
import { createMemoryTier } from '../../../proxy/store/memory.ts';
import { Tiers } from '../../../proxy/store/tiers.ts';
import { HASH_KEY_WORDS, KeyedHash } from '../../../proxy/threads/keyed-hash.ts';
import type { DiskReader } from '../../../proxy/store/disk/reader.ts';
import { content, entry, MIB } from './support/entries.ts';
import { openDisk, scratchFolder } from './support/open-disk.ts';

const NOTHING: DiskReader = {
  find: () => [],
  content: () => null,
  heads: () => [],
  chunk: () => null,
  close: async () => {},
  counters: { corrupt: 0 },
};
const HASH = new KeyedHash(new Uint32Array(HASH_KEY_WORDS));

interface Sent {
  readonly name: keyof DiskCalls;
  readonly argument: unknown;
}

/** A worker whose messages to the writer the test sees, and answers in shared memory. */
function worker(reader: DiskReader = NOTHING, creditBytes = MIB) {
  const sent: Sent[] = [];
  const writer: DiskWriterLink = {
    call: async (name, argument) => {
      sent.push({ name, argument });
      return true;
    },
    tell: (name, argument) => void sent.push({ name, argument }),
  };
  const outcomes = outcomesBuffer(1);
  const inFlight = writesInFlightBuffer();
  const known = createKnownDigests(knownDigestsBuffer(0));
  const tier = new WorkerDiskTier({
    reader,
    writer,
    writesInFlight: createWritesInFlight(inFlight, 1, HASH),
    used: createUsedEntries(usedEntriesBuffer(0)),
    known,
    outcomes,
    worker: 0,
    creditBytes,
  });
  const batches = (): EntryBatch[] =>
    sent.filter(({ name }) => name === 'storeEntries').map(({ argument }) => argument as EntryBatch);
  const others = createWritesInFlight(inFlight, 0, HASH);
  return { tier, sent, batches, outcomes: new EntryOutcomes(outcomes, 0), buffer: outcomes, others, known };
}

function store(tier: WorkerDiskTier, head: EntryHead): Promise<boolean> {
  const upload = tier.begin(head.id);
  upload.append(content(1, head.sizeBytes));
  return upload.commit(head, 64);
}

describe('small entries that a worker sends to the writer', () => {
  it('of one turn share a message, in the order of their numbers', async () => {
    const { tier, batches } = worker();
    for (const n of [1, 2, 3]) void store(tier, entry(n, { sizeBytes: n * 1_000 }));
    expect(batches()).toEqual([]);
    await nextTurn();
    void store(tier, entry(4));
    await nextTurn();
    expect(batches().map(({ first }) => first)).toEqual([0, 3]);
    const heads = entriesOf(batches()[0]!.entries).map((each) => headOf(each));
    expect(heads).toEqual([1, 2, 3].map((n) => entry(n, { sizeBytes: n * 1_000 })));
  });

  it.each([true, false])(
    'are found, and announced to other workers, until the outcome %s is published',
    async (isStored) => {
      const { tier, outcomes, others } = worker();
      const head = entry(1, { sizeBytes: 1_000 });
      const committed = store(tier, head);
      expect(tier.find(head.key)).toEqual([{ head, content: content(1, 1_000) }]);
      await nextTurn();
      expect(tier.underWay(head.key)).toEqual([{ head, content: content(1, 1_000) }]);
      expect(tier.heads(head.key)).toEqual([]);
      expect(Buffer.from(tier.read(head, 10)!)).toEqual(content(1, 1_000).subarray(10));
      expect(others.holderOf(head.key)).toBe(1);
      outcomes.settle(0, isStored);
      expect(await committed).toBe(isStored);
      expect(tier.find(head.key)).toEqual([]);
      expect(others.holderOf(head.key)).toBeNull();
    },
  );

  it('have their outcomes in the order of sending, though the writer refuses a later one first', async () => {
    const { tier, outcomes } = worker();
    const seen: [number, boolean][] = [];
    const all = [1, 2].map((n) => store(tier, entry(n)).then((isStored) => seen.push([n, isStored])));
    await nextTurn();
    outcomes.settle(1, false);
    await nextTurn();
    expect(seen).toEqual([]);
    outcomes.settle(0, true);
    await Promise.all(all);
    expect(seen).toEqual([
      [1, true],
      [2, false],
    ]);
  });

  it.each([
    ['a change', (tier: WorkerDiskTier) => tier.update(entry(1, { floor: 9 })), 'updateEntry'],
    ['a removal', (tier: WorkerDiskTier) => tier.remove(entry(1).key, entry(1).id), 'removeEntry'],
    ['a loss', (tier: WorkerDiskTier) => tier.discard(entry(1).key, entry(1).id), 'discardEntry'],
  ])('go before %s of one of them', (_, change, name) => {
    const { tier, sent } = worker();
    void store(tier, entry(1));
    void change(tier);
    expect(sent.map((each) => each.name)).toEqual(['storeEntries', name]);
  });

  it('are refused beyond the bytes and the number of those without an outcome, and counted', async () => {
    const bytes = worker(NOTHING, 10_000);
    const stored = [1, 2, 3, 4].map((n) => store(bytes.tier, entry(n, { sizeBytes: 4_000 })));
    await nextTurn();
    expect(await Promise.all(stored.slice(2))).toEqual([false, false]);
    bytes.outcomes.settle(0, true);
    expect(await stored[0]).toBe(true);
    const again = store(bytes.tier, entry(5, { sizeBytes: 4_000 }));
    await nextTurn();
    bytes.outcomes.settle(1, true);
    bytes.outcomes.settle(2, true);
    expect(await again).toBe(true);

    const many = worker(NOTHING, 100 * MIB);
    for (let n = 0; n < OPEN_ENTRIES; n += 1) void store(many.tier, entry(n));
    expect(await store(many.tier, entry(OPEN_ENTRIES))).toBe(false);
  });

  it('are told of the last head that a confirmation brought', () => {
    const { tier } = worker();
    const head = entry(1);
    void store(tier, head);
    void tier.update({ ...head, floor: 9 });
    expect(tier.find(head.key).map((each) => each.head.floor)).toEqual([9]);
  });

  it('leave their numbers to a successor when the worker dies', async () => {
    const { tier, outcomes, buffer } = worker();
    void store(tier, entry(1));
    const arrived = outcomes.arrived();
    outcomes.close();
    await arrived;
    outcomes.settle(0, true);
    const successor = new EntryOutcomes(buffer, 0);
    expect(successor.arrived()).toBeNull();
  });
});

describe('an entry under way that another worker has outdated', () => {
  it('is dropped here, and removed behind the entry itself', async () => {
    const { tier, sent } = worker();
    const tiers = new Tiers(createMemoryTier(0, 1), tier, () => null);
    const head = entry(1);
    void store(tier, head);
    expect(tiers.own(head.key, head.route).map(({ content: bytes }) => bytes)).toEqual([content(1, 10)]);
    void tiers.dropHere(head);
    expect(tiers.own(head.key, head.route)).toEqual([]);
    expect(sent.map(({ name }) => name)).toEqual(['storeEntries', 'removeEntry']);
  });

  it('counts as dropped only once no other worker finds it on disk', async () => {
    const { tier } = worker();
    const removed = Promise.withResolvers<boolean>();
    tier.remove = () => removed.promise;
    const tiers = new Tiers(createMemoryTier(0, 1), tier, () => null);
    const head = entry(1);
    void store(tier, head);
    let isDropped = false;
    const dropping = tiers.dropHere(head).then((isSynced) => {
      isDropped = true;
      return isSynced;
    });
    await new Promise(setImmediate);
    expect(isDropped).toBe(false);
    removed.resolve(false);
    expect(await dropping).toBe(false);
  });
});

describe('a key that nobody has sent an entry of', () => {
  it('is not looked for on disk', async () => {
    let reads = 0;
    const reader: DiskReader = {
      ...NOTHING,
      find: () => {
        reads += 1;
        return [];
      },
      heads: () => {
        reads += 1;
        return [];
      },
    };
    const { tier, known } = worker(reader);
    tier.find('a');
    expect(reads).toBe(1);
    known.complete();
    tier.find('a');
    tier.heads('a');
    expect(reads).toBe(1);
    void store(tier, entry(1));
    tier.find(entry(1).key);
    tier.heads(entry(1).key);
    expect(reads).toBe(3);
    await nextTurn();
  });
});

describe('content that grows', () => {
  it.each([
    [SMALL_BYTES, ['storeEntries']],
    [SMALL_BYTES + 1, ['beginEntry', 'appendChunk', 'appendChunk', 'appendChunk', 'commitEntry']],
  ])('to %d bytes is sent so: %j', async (sizeBytes, names) => {
    const { tier, sent } = worker();
    const head = entry(1, { sizeBytes });
    const upload = tier.begin(head.id);
    for (let at = 0; at < sizeBytes; at += 10_000)
      upload.append(content(1, sizeBytes).subarray(at, at + 10_000));
    void upload.commit(head, 64);
    await nextTurn();
    expect(sent.map(({ name }) => name)).toEqual(names);
  });
});

describe('an entry that another worker has lent before the writer has it', () => {
  it('is removed once it has arrived', async () => {
    const path = scratchFolder();
    const { writer } = await openDisk(path);
    const outcomes = new EntryOutcomes(writer.shared.outcomes, 0);
    const parts = { writer, outcomes, dropEntry: () => {}, arrivals: () => outcomes.arrived() };
    const { calls } = diskCallsOf(parts);
    const opening = openDiskReader({ path });
    if (opening.kind === 'failed') throw new Error(opening.reason);
    const held: EntryBatch[] = [];
    const tier = new WorkerDiskTier({
      reader: opening.reader,
      writer: { call: async () => true, tell: (_name, argument) => void held.push(argument as EntryBatch) },
      writesInFlight: createWritesInFlight(writesInFlightBuffer(), 1, HASH),
      used: createUsedEntries(writer.shared.used),
      known: createKnownDigests(writer.shared.known),
      outcomes: writer.shared.outcomes,
      worker: 0,
      creditBytes: MIB,
    });
    const { id, key } = entry(1);
    const committed = store(tier, entry(1));
    const removed = calls.removeEntry({ id, key });
    await nextTurn();
    await writer.idle();
    await calls.storeEntries(held[0]!);
    expect([await committed, await removed]).toEqual([true, true]);
    expect(opening.reader.heads(key)).toEqual([]);
    expect(writer.stats().entries).toBe(0);
    await opening.reader.close();
  });
});
