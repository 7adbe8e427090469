import { afterEach, describe, expect, it } from 'vitest';
import type { FeedEvent } from '../../origin-adapters/feeds/feed.ts';
import { kafkaFeed } from '../../origin-adapters/feeds/kafka.ts';
import type { KafkaTopic } from '../../origin-adapters/feeds/kafka/client.ts';
import { HeadProof, PartitionReading } from '../../origin-adapters/feeds/kafka/reading.ts';
import { headsOf, idsOf } from '../contracts/feed-contract.ts';
import { readFeed, type FeedReader } from '../contracts/feed-reader.ts';
import { until } from '../support/barrier.ts';
import { batchOf, kafkaError, ScriptedKafka } from './scripted-kafka.ts';

const CONTROL = 0x20;

let readers: FeedReader[] = [];
afterEach(async () => {
  await Promise.all(readers.map((reader) => reader.stop()));
  readers = [];
});

/** `maxSilenceMs`: three times the interval between proofs. */
function read(kafka: ScriptedKafka, after: string | null, maxSilenceMs = 60): FeedReader {
  const config = {
    name: 'feed',
    type: 'kafka',
    format: 'json',
    maxSilenceMs,
    readLagMs: 0,
    versionField: null,
    map: [],
    options: kafkaFeed.schema.parse({ brokers: 'kafka:9092', topics: 'rows' }),
  } as const;
  const reader = readFeed(kafkaFeed.create(config, kafka.deps), after);
  readers.push(reader);
  return reader;
}

function gapsOf(events: readonly FeedEvent[]): string[] {
  return events.filter((event) => event.kind === 'gap').map((event) => event.reason);
}

const hasGap = (events: readonly FeedEvent[]): boolean => gapsOf(events).length > 0;
const hasHead = (events: readonly FeedEvent[]): boolean => headsOf(events).length > 0;
const hasFailed = (events: readonly FeedEvent[]): boolean => events.at(-1)?.kind === 'failed';

describe('the history of a partition', () => {
  async function marked(): Promise<string> {
    const kafka = new ScriptedKafka(7n);
    kafka.answers.push({ 0: { records: [batchOf(5n, ['a', 'b'])] } });
    const events = await read(kafka, 'rows~first-id:5e7').until(hasHead);
    return headsOf(events)[0]!.position!;
  }

  it('is the same where the last message is read again, which yields no second event', async () => {
    const position = await marked();
    const kafka = new ScriptedKafka(9n);
    kafka.answers.push({ 0: { records: [batchOf(5n, ['a', 'b']), batchOf(7n, ['c', 'd'])] } });
    const events = await read(kafka, position).until(hasHead);
    expect(kafka.fetches[0]![0]).toMatchObject({ next: 6n, epoch: 7 });
    expect(gapsOf(events)).toEqual([]);
    expect(idsOf(events)).toEqual(['c', 'd']);
  });

  it.each([
    ['another message comes in its place', batchOf(5n, ['a', 'x', 'c', 'd'])],
    ['it comes with another time', batchOf(5n, ['a', 'b', 'c', 'd'], { firstTimestamp: 1_001n })],
    ['it was compacted away', batchOf(7n, ['c', 'd'])],
    ['a transaction ends in its place', batchOf(6n, ['b', 'c', 'd'], { attributes: CONTROL })],
  ])('is another where %s', async (_name, batch) => {
    const position = await marked();
    const kafka = new ScriptedKafka(9n);
    kafka.answers.push({ 0: { records: [batch] } });
    const events = await read(kafka, position).until(hasHead);
    expect(events.find(({ kind }) => kind !== 'behind')).toMatchObject({
      kind: 'gap',
      reason: 'rows/0 no longer holds the last message read: was it restored? at 7',
    });
  });

  it('is recognised by the message before the end where it begins there, which yields no event', async () => {
    const kafka = new ScriptedKafka(7n);
    kafka.answers.push({ 0: { records: [batchOf(5n, ['a', 'b'])] } });
    const events = await read(kafka, null).until(hasHead);
    expect(kafka.fetches[0]![0]).toMatchObject({ next: 6n });
    expect(idsOf(events)).toEqual([]);
    const place = (await marked()).replace('7e7', '7');
    expect(headsOf(events)[0]!.position).toBe(place);
  });

  it('proves no head until the last message was read again', async () => {
    const position = await marked();
    const kafka = new ScriptedKafka(7n);
    const reader = read(kafka, position);
    await until(() => kafka.fetches.length > 5);
    expect(headsOf(reader.events)).toEqual([]);
    kafka.answers.push({ 0: { records: [batchOf(6n, ['b'], { firstTimestamp: 1_001n })] } });
    expect(headsOf(await reader.until(hasHead))[0]!.position).toBe(position);
  });
});

describe('the response of a broker', () => {
  it('is requested with the leader epochs of the partition and of the previous record', async () => {
    const kafka = new ScriptedKafka(5n);
    kafka.partitions[0]!.epoch = 9;
    kafka.answers.push({ 0: { highWatermark: 7n, records: [batchOf(5n, ['a', 'b'])] } });
    await read(kafka, 'rows~first-id:5e3').until(
      (events) => idsOf(events).length === 2 && kafka.fetches.length > 2,
    );
    expect(kafka.fetches[0]![0]).toEqual({
      topicId: 'first-id',
      partition: 0,
      leaderEpoch: 9,
      next: 5n,
      epoch: 3,
    });
    expect(kafka.fetches[1]![0]).toMatchObject({ next: 7n, epoch: 7 });
  });

  it('is limited to committed records, and comes at once while a proof of the head waits for it', async () => {
    const kafka = new ScriptedKafka(5n);
    await read(kafka, 'rows~first-id:5', 3_600_000).until(hasHead);
    await until(() => kafka.fetches.length > 2);
    expect(kafka.fetchOptions[0]).toMatchObject({ isolationLevel: 1, maxWaitTime: 0 });
    expect(kafka.fetchOptions[1]!.maxWaitTime).toBeGreaterThan(0);
  });

  it('is a gap where the log was truncated and rewritten, and goes on at its end', async () => {
    const kafka = new ScriptedKafka(12n);
    kafka.answers.push({ 0: { divergingEpoch: { epoch: 2, endOffset: 3n } } });
    kafka.answers.push({ 0: { highWatermark: 13n, records: [batchOf(12n, ['new'])] } });
    const events = await read(kafka, 'rows~first-id:5e3').until((all) => idsOf(all).includes('new'));
    expect(gapsOf(events)).toEqual(['rows/0 was truncated and rewritten at 5']);
    expect(events[0]).toMatchObject({ kind: 'gap', position: 'rows~first-id:12' });
  });

  it('is a gap where the offset is out of range, and goes on at the end', async () => {
    const kafka = new ScriptedKafka(20n, 4n);
    const unknown = { partitionIndex: 0, errorCode: 1, highWatermark: -1n, logStartOffset: -1n };
    kafka.answers.push(kafkaError('OFFSET_OUT_OF_RANGE', [unknown]));
    const reader = read(kafka, 'rows~first-id:5.4');
    const events = await reader.until((all) => hasGap(all) && hasHead(all));
    expect(gapsOf(events)).toEqual(['rows/0 is out of range at 5']);
    expect(headsOf(events)[0]!.position).toBe('rows~first-id:20.4');
  });

  it('is requested again where the broker lost the session, and the feed fails if it always does', async () => {
    const kafka = new ScriptedKafka(5n);
    kafka.answers.push(kafkaError('FETCH_SESSION_ID_NOT_FOUND'));
    await read(kafka, 'rows~first-id:5').until(hasHead);

    const forgetful = new ScriptedKafka(5n);
    forgetful.answers.push(...Array.from({ length: 10 }, () => kafkaError('INVALID_FETCH_SESSION_EPOCH')));
    const events = await read(forgetful, 'rows~first-id:5').until(hasFailed);
    expect(events.at(-1)).toMatchObject({ failure: { kind: 'unreachable', retry: 'soon' } });
  });

  it('yields only records from the requested offset on, although batches are complete', async () => {
    const kafka = new ScriptedKafka(9n);
    kafka.answers.push({ 0: { records: [batchOf(3n, ['3', '4', '5', '6']), batchOf(7n, ['7', '8'])] } });
    const events = await read(kafka, 'rows~first-id:5').until((all) => hasHead(all));
    expect(idsOf(events)).toEqual(['5', '6', '7', '8']);
    expect(gapsOf(events)).toEqual([]);
  });

  it('skips the ends of transactions, which are not changes', async () => {
    const kafka = new ScriptedKafka(7n);
    const marker = batchOf(6n, ['commit'], { attributes: CONTROL });
    kafka.answers.push({ 0: { records: [batchOf(5n, ['a']), marker] } });
    const events = await read(kafka, 'rows~first-id:5').until(hasHead);
    expect(idsOf(events)).toEqual(['a']);
    expect(headsOf(events)[0]!.position).toMatch(/^rows~first-id:7e7m2-/);
  });

  it('is a gap at a hole, because a compacted log has lost changes there', async () => {
    for (const records of [
      [batchOf(7n, ['a'])],
      [batchOf(5n, ['a'], { lastOffsetDelta: 2 })],
      [batchOf(5n, [], { lastOffsetDelta: 2 })],
    ]) {
      const kafka = new ScriptedKafka(8n);
      kafka.answers.push({ 0: { records } });
      const events = await read(kafka, 'rows~first-id:5').until(hasHead);
      expect(gapsOf(events)).toHaveLength(1);
      expect(events[0]!.kind).toBe('gap');
    }
  });

  it('has no gap where a transaction was aborted, unless one producer aborted twice', async () => {
    const aborted = (...producers: readonly bigint[]) =>
      producers.map((producerId) => ({ producerId, firstOffset: 5n }));
    for (const [abortedTransactions, gaps] of [
      [aborted(1n, 2n), 0],
      [aborted(1n, 1n), 1],
    ] as const) {
      const kafka = new ScriptedKafka(8n);
      kafka.answers.push({ 0: { abortedTransactions, records: [batchOf(7n, ['a'])] } });
      const events = await read(kafka, 'rows~first-id:5').until(hasHead);
      expect(gapsOf(events)).toHaveLength(gaps);
    }
  });

  it('is refused from followers, whose high watermark may be old', async () => {
    const kafka = new ScriptedKafka(5n);
    kafka.answers.push({ 0: { preferredReadReplica: 2 } });
    const events = await read(kafka, 'rows~first-id:5').until(hasFailed);
    expect(events.at(-1)).toMatchObject({ failure: { kind: 'protocol', retry: 'slowly' } });
  });
});

describe('the head', () => {
  it('is not reached while a transaction is open before the high watermark', async () => {
    const kafka = new ScriptedKafka(5n, 5n);
    kafka.partitions[1]!.highWatermark = 8n;
    const reader = read(kafka, 'rows~first-id:5.5');
    await until(() => kafka.fetches.length > 5);
    expect(hasHead(reader.events)).toBe(false);
    kafka.answers.push({ 1: { records: [batchOf(5n, ['a', 'b', 'c'])] } });
    const events = await reader.until(hasHead);
    expect(idsOf(events)).toEqual(['a', 'b', 'c']);
  });

  it('includes partitions that a response leaves out because nothing is new', async () => {
    const kafka = new ScriptedKafka(5n, 5n);
    kafka.isIncremental = true;
    const events = await read(kafka, 'rows~first-id:5.5').until((all) => headsOf(all).length >= 3);
    expect(gapsOf(events)).toEqual([]);
  });

  it('is proved by responses to fetches that were sent after its request, and not by older ones', () => {
    const topic: KafkaTopic = { name: 'rows', id: 'id', identity: 'id', leaders: [{ node: 1, epoch: 0 }] };
    const partition = new PartitionReading(topic, 0, 5n, -1);
    const proof = new HeadProof(1_000);
    partition.highWatermark = 5n;
    proof.note([partition], 999);
    expect(proof.isComplete([partition])).toBe(false);
    partition.highWatermark = 6n;
    proof.note([partition], 1_000);
    expect(proof.isComplete([partition])).toBe(false);
    partition.highWatermark = 9n;
    proof.note([partition], 1_001);
    partition.advance(6n, 0);
    expect(proof.isComplete([partition])).toBe(true);
  });

  it('is proved again where a log was truncated below the requested end', async () => {
    const kafka = new ScriptedKafka(20n);
    kafka.partitions[0]!.highWatermark = 30n;
    const reader = read(kafka, 'rows~first-id:20e3');
    await until(() => kafka.fetches.length > 3);
    Object.assign(kafka.partitions[0]!, { end: 10n, highWatermark: 10n });
    kafka.answers.push({ 0: { divergingEpoch: { epoch: 2, endOffset: 8n } } });
    const events = await reader.until(hasHead);
    expect(gapsOf(events)).toHaveLength(1);
    expect(headsOf(events)[0]!.position).toBe('rows~first-id:10');
  });

  it('is reported as far away as there are records before it', async () => {
    const kafka = new ScriptedKafka(9n);
    kafka.answers.push({ 0: { records: [batchOf(5n, ['a'])] } });
    const events = await read(kafka, 'rows~first-id:5').until((all) =>
      all.some(({ kind }) => kind === 'behind'),
    );
    expect(events.at(-1)).toEqual({ kind: 'behind', events: 3 });
  });
});

describe('a cluster that changes while it is read', () => {
  it('ends the feed when the topic is recreated, and the next beginning is a gap', async () => {
    const kafka = new ScriptedKafka(5n);
    const first = read(kafka, 'rows~first-id:5');
    await first.until(hasHead);
    kafka.id = 'second-id';
    const events = await first.until(hasFailed);
    expect(events.at(-1)).toMatchObject({
      failure: { retry: 'soon', message: 'the topic rows was recreated' },
    });
    const again = await read(kafka, 'rows~first-id:5').until(hasHead);
    expect(gapsOf(again)).toEqual(['rows was recreated']);
  });

  it('ends the feed when partitions are added, and then reads them from their first record', async () => {
    const kafka = new ScriptedKafka(5n);
    const first = read(kafka, 'rows~first-id:5');
    await first.until(hasHead);
    kafka.partitions = new ScriptedKafka(5n, 2n).partitions;
    const events = await first.until(hasFailed);
    expect(events.at(-1)).toMatchObject({ failure: { message: 'the topic rows has new partitions' } });
    kafka.answers.push({ 1: { records: [batchOf(0n, ['a', 'b'])] } });
    const again = await read(kafka, 'rows~first-id:5').until(hasHead);
    expect(idsOf(again)).toEqual(['a', 'b']);
    expect(gapsOf(again)).toEqual([]);
  });

  it('ends the feed when a partition has a new leader or a new epoch, which reopens without a gap', async () => {
    for (const change of [{ leader: 2 }, { epoch: 1 }]) {
      const kafka = new ScriptedKafka(5n);
      const first = read(kafka, 'rows~first-id:5');
      await first.until(hasHead);
      Object.assign(kafka.partitions[0]!, change);
      const events = await first.until(hasFailed);
      expect(events.at(-1)).toMatchObject({ failure: { message: 'the partition rows/0 has a new leader' } });
      expect(gapsOf(await read(kafka, 'rows~first-id:5').until(hasHead))).toEqual([]);
    }
  });

  it('ends the feed at once when a response names another leader', async () => {
    for (const name of ['NOT_LEADER_OR_FOLLOWER', 'FENCED_LEADER_EPOCH', 'UNKNOWN_TOPIC_ID']) {
      const kafka = new ScriptedKafka(5n);
      kafka.answers.push(kafkaError(name));
      const events = await read(kafka, 'rows~first-id:5').until(hasFailed);
      expect(events.at(-1)).toMatchObject({ failure: { kind: 'unreachable', retry: 'soon' } });
    }
  });

  it('is not read where it has no topic ids', async () => {
    const kafka = new ScriptedKafka(5n);
    kafka.id = '00000000-0000-0000-0000-000000000000';
    const events = await read(kafka, null).until(hasFailed);
    expect(events.at(-1)).toMatchObject({ failure: { kind: 'protocol', retry: 'slowly' } });
  });

  it('reports an unreadable batch, and stays before it', async () => {
    const kafka = new ScriptedKafka(5n);
    kafka.answers.push(
      Object.assign(new Error('Unsupported compression'), { code: 'PLT_KFK_UNSUPPORTED_COMPRESSION' }),
    );
    const events = await read(kafka, 'rows~first-id:5').until(hasFailed);
    const message = "a batch can't be read: Unsupported compression";
    expect(events.at(-1)).toMatchObject({ failure: { kind: 'protocol', retry: 'slowly', message } });
  });

  it('reports messages of an unsupported format, and stays before them', async () => {
    const kafka = new ScriptedKafka(6n);
    kafka.answers.push({ 0: { records: [batchOf(5n, ['a'], { magic: 1 })] } });
    const events = await read(kafka, 'rows~first-id:5').until(hasFailed);
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({ failure: { kind: 'protocol', retry: 'slowly' } });
  });
});
