import { hash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  entryTags,
  tagOfFeed,
  tagOfHost,
  tagOfName,
  tagOfPrefix,
  tagOfRoute,
  tagOfUrl,
} from '../../policies/tags.ts';
import { Fence } from '../../proxy/fence/fence.ts';
import { SharedWords } from '../../proxy/fence/layout.ts';
import { FenceReader } from '../../proxy/fence/reader.ts';
import { ALL_MECHANISMS } from '../../proxy/mechanisms.ts';
import { orderQueueId } from '../../proxy/writes/journal/order-queues.ts';
import { readHoldRow, waitingHoldKey } from '../../proxy/writes/journal/hold-rows.ts';
import { rekeyHolds } from '../../proxy/writes/journal/hold-rows.ts';
import { MemoryState } from '../support/memory-state.ts';
import { numberOf, offer } from '../writes/offered.ts';
import { open as openWrites } from '../writes/opened.ts';
import { entryOf, KEYLESS, setClock } from './given.ts';

const RECORDS = 1_000;
const BUCKETS = Math.ceil(RECORDS / 7);
const PLACE = { authority: 'shop.example', path: '/products/7', query: '' };
const TAGS = entryTags({ ...PLACE, route: 'product', origin: 'shop', feed: 'changes', extra: [] });

async function open(state = new MemoryState(), options: Partial<Parameters<typeof Fence.open>[1]> = {}) {
  const fence = await Fence.open(RECORDS, { state, clock: setClock(), ...options });
  const reader = new FenceReader(new SharedWords(fence.buffer), setClock());
  return {
    state,
    fence,
    verdict: (floor: number, tags = TAGS) => reader.verdict(entryOf(tags, floor, {}, fence.hasher)).kind,
    isHeld: (tag: string) => reader.isHeld(fence.hasher.hash([tag])),
  };
}

/** A hundred URLs in the bucket of a tag, by a hash that clients can compute. */
function colliding(bucketOf: (tag: string) => number, tag: string): string[] {
  const found: string[] = [];
  for (let x = 0; found.length < 100; x += 1) {
    const url = tagOfUrl(null, '/login', `x=${x}`);
    if (bucketOf(url) === bucketOf(tag)) found.push(url);
  }
  return found;
}

const plainBucket = (tag: string): number => hash('sha1', tag, 'buffer').readUInt32LE(0) % BUCKETS;
const keylessBucket = (tag: string): number => KEYLESS.hash([tag])[0]! % BUCKETS;

describe('URLs that clients choose', () => {
  it.each([
    ['everything, by a plain hash', plainBucket, 'all'],
    ['all paths below a prefix, by a plain hash', plainBucket, tagOfPrefix(null, '/products')],
    ['all paths below a prefix, without the key', keylessBucket, tagOfPrefix(null, '/products')],
  ])('do not collide with the tag of %s', async (_of, bucketOf, tag) => {
    const { fence, verdict } = await open();
    const floor = fence.sequence;
    for (const url of colliding(bucketOf, tag)) await fence.invalidate({ tags: [url], mode: 'hard' });
    expect(verdict(floor)).toBe('clear');
  });

  it('would collide without the key', async () => {
    const mechanisms = { ...ALL_MECHANISMS, tagKey: false };
    const { fence, verdict } = await open(new MemoryState(), { mechanisms });
    const floor = fence.sequence;
    const urls = colliding(keylessBucket, tagOfPrefix(null, '/products'));
    for (const url of urls) await fence.invalidate({ tags: [url], mode: 'hard' });
    expect(verdict(floor)).toBe('hard');
  });

  const SPECIAL = [
    'all',
    tagOfPrefix(null, '/'),
    tagOfPrefix('shop.example', '/'),
    tagOfHost('shop.example'),
    tagOfRoute('product'),
    'origin:shop',
    tagOfFeed('changes'),
  ];

  it('never displace the tags of routes, origins, feeds and hosts', async () => {
    const { fence, verdict, isHeld } = await open();
    const floor = fence.sequence;
    const urls = Array.from({ length: 5_000 }, (_, x) => tagOfUrl(null, '/login', `x=${x}`));
    for (let at = 0; at < urls.length; at += 1_000) {
      await fence.invalidate({ tags: urls.slice(at, at + 1_000), mode: 'hard' });
    }
    const held = fence.hasher.hash(urls);
    await fence.hold(held, () => {});
    expect(SPECIAL.map((tag) => [tag, verdict(floor, [tag]), isHeld(tag)])).toEqual(
      SPECIAL.map((tag) => [tag, 'clear', false]),
    );
    // Ordinary tags share the full table: another one counts as invalidated and held.
    expect([verdict(floor, [tagOfName('x')]), isHeld(tagOfName('x'))]).toEqual(['hard', true]);
    fence.drop(held);
    for (const tag of SPECIAL) {
      const before = fence.sequence;
      await fence.invalidate({ tags: [tag], mode: 'hard' });
      expect([tag, verdict(before)]).toEqual([tag, 'hard']);
      expect([tag, verdict(fence.sequence)]).toEqual([tag, 'clear']);
    }
  });

  it('leave an invalidation of everything in force after a restart, also in a table of another size', async () => {
    const first = await open();
    const floor = first.fence.sequence;
    for (let host = 0; host < 30_000; host += 1_000) {
      const tags = Array.from({ length: 1_000 }, (_, i) => tagOfHost(`h${host + i}.example`));
      await first.fence.invalidate({ tags, mode: 'hard' });
    }
    await first.fence.invalidate({ tags: ['all', tagOfRoute('product')], mode: 'hard' });
    const after = first.fence.sequence;
    for (const records of [RECORDS, 4 * RECORDS]) {
      const state = first.state.copy();
      const fence = await Fence.open(records, { state, clock: setClock() });
      const reader = new FenceReader(new SharedWords(fence.buffer), setClock());
      const verdict = (tag: string, at: number): string =>
        reader.verdict(entryOf([tag], at, {}, fence.hasher)).kind;
      expect(['all', tagOfRoute('product')].map((tag) => verdict(tag, floor))).toEqual(['hard', 'hard']);
      expect(['all', tagOfRoute('other')].map((tag) => verdict(tag, after))).toEqual(['clear', 'clear']);
      // Hosts whose records were overwritten still count as invalidated.
      const hosts = Array.from({ length: 30_000 }, (_, i) => tagOfHost(`h${i}.example`));
      expect(hosts.filter((host) => verdict(host, floor) !== 'hard')).toEqual([]);
      expect(verdict(tagOfName('x'), floor)).toBe('clear');
    }
  });
});

describe('the key of a state', () => {
  it('differs between states, and stays the same over a restart', async () => {
    const first = await open();
    const again = await open(first.state.crashed());
    const other = await open();
    const hashes = [first, again, other].map(({ fence }) => fence.hasher.hash(['tag:a']).join());
    expect(hashes[1]).toBe(hashes[0]);
    expect(hashes[2]).not.toBe(hashes[0]);
  });

  it('is added to a state of an earlier version, which invalidates everything stored once', async () => {
    const { fence, journal } = await openWrites(new MemoryState());
    expect(journal).toBeDefined();
    const before = new MemoryState();
    const { fence: unkeyed } = await open(before);
    await unkeyed.invalidate({ tags: ['tag:a'], mode: 'hard' });
    const floor = unkeyed.sequence;
    await before.write(() => before.table('meta').remove('tag-key'));
    const after = await open(before.crashed());
    expect(after.verdict(floor)).toBe('hard');
    expect(after.verdict(floor + 1_000_000)).toBe('clear');
    expect(after.verdict(after.fence.sequence)).toBe('clear');
    const later = await open(after.state.crashed());
    expect(later.verdict(floor)).toBe('hard');
    expect(later.verdict(after.fence.sequence)).toBe('clear');
    expect(fence.hasher.hash(['tag:a'])).not.toEqual(unkeyed.hasher.hash(['tag:a']));
  });

  it('rehashes the tags of holds in a state of an earlier version', async () => {
    const state = new MemoryState();
    const { journal, gate } = await openWrites(state);
    const number = numberOf(await journal.accept(offer('/1', 'a')));
    const queue = { origin: 'shop', authority: null, target: '/2' };
    const client = '00000000000000aa';
    const request = {
      ticket: 1,
      client,
      queue,
      tags: ['url:/2'],
      waitMs: 0,
      waiting: 1,
      maxProcessingMs: 60_000,
    };
    expect((await gate.admit(1, request)).kind).toBe('admitted');
    await state.write(() => state.table('meta').remove('tag-key'));
    const old = state.crashed();
    const { fence } = await open(old, { onNewKey: (hasher) => rekeyHolds(old, hasher) });
    const rows = [...old.table('holds').range()].map(({ key, value }) => ({ key, row: readHoldRow(value) }));
    const ofWrite = rows.find(({ key }) => key.equals(waitingHoldKey(number)));
    expect(ofWrite?.row).toMatchObject({ kind: 'waiting', tags: fence.hasher.hash(['url:/1']) });
    const running = rows.find(({ row }) => row.queue === orderQueueId(queue));
    expect(running?.row).toMatchObject({ kind: 'running', tags: fence.hasher.hash(['all']) });
  });
});
