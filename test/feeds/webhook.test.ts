import { afterEach, describe, expect, it } from 'vitest';
import type { FeedDelivery, DeliveryAnswer, Feed, FeedEvent } from '../../origin-adapters/feeds/feed.ts';
import { webhookFeed } from '../../origin-adapters/feeds/webhook.ts';
import type { FeedConfig } from '../../policies/config/config.ts';
import { readFeed, type FeedReader } from '../contracts/feed-reader.ts';
import { settle } from '../support/barrier.ts';
import { signatureOf, signedDelivery, webhookSecret, type DeliveryOptions } from './deliveries.ts';
import { FakeClock } from './fake-clock.ts';

const clock = new FakeClock();
let readers: FeedReader[] = [];

interface Setup {
  readonly format?: FeedConfig['format'];
  readonly options?: Readonly<Record<string, unknown>>;
}

function makeFeed(setup: Setup = {}): Feed {
  const config: FeedConfig = {
    name: 'shop',
    type: 'webhook',
    format: setup.format ?? 'json',
    maxSilenceMs: 3_000,
    readLagMs: 0,
    versionField: null,
    map: [],
    options: webhookFeed.schema.parse({ path: '/hook', secret: webhookSecret, ...setup.options }),
  };
  return webhookFeed.create(config, {
    clock,
    log: () => undefined,
    loadLibrary: () => Promise.reject(new Error('it needs none')),
  });
}

function read(feed: Feed, after: string | null): FeedReader {
  const reader = readFeed(feed, after);
  readers.push(reader);
  return reader;
}

async function opened(feed: Feed, after: string | null = null): Promise<FeedReader> {
  const reader = read(feed, after);
  await reader.until((events) => events.length > 0);
  return reader;
}

function signed(content: unknown, options: DeliveryOptions = {}): FeedDelivery {
  return signedDelivery(content, { atMs: clock.nowMs(), ...options });
}

function without(delivery: FeedDelivery, name: string): FeedDelivery {
  const i = delivery.fields.indexOf(name);
  return { ...delivery, fields: delivery.fields.toSpliced(i, 2) };
}

function withField(delivery: FeedDelivery, name: string, value: string): FeedDelivery {
  return { ...delivery, fields: delivery.fields.with(delivery.fields.indexOf(name) + 1, value) };
}

function positionOf(event: FeedEvent): string {
  if (event.kind !== 'change' && event.kind !== 'unintelligible') throw new Error(`a ${event.kind}`);
  return event.position;
}

function isMessage(event: FeedEvent): boolean {
  return event.kind === 'change' || event.kind === 'unintelligible';
}

/** Delivers, waits for the change, acknowledges it, and returns its events without heads. */
async function deliver(feed: Feed, reader: FeedReader, delivery: FeedDelivery): Promise<FeedEvent[]> {
  const from = reader.events.length;
  const answer = feed.receiver!.receive(delivery);
  const events = (await reader.until((all) => all.slice(from).some(isMessage))).slice(from);
  feed.acknowledge(positionOf(events.find(isMessage)!));
  expect((await answer).status).toBe(204);
  return events.filter((event) => event.kind !== 'head');
}

afterEach(async () => {
  await Promise.all(readers.map((reader) => reader.stop()));
  readers = [];
  expect(clock.timers).toBe(0);
});

function delivery(options?: DeliveryOptions): FeedDelivery {
  return signed({ id: 1 }, options);
}

describe('webhook: authentication', () => {
  const refused: [string, () => FeedDelivery][] = [
    ['no id', () => without(delivery(), 'Webhook-Id')],
    ['no timestamp', () => without(delivery(), 'Webhook-Timestamp')],
    ['no signature', () => without(delivery(), 'Webhook-Signature')],
    ['another key', () => delivery({ key: Buffer.from('another') })],
    ['another id than the signed one', () => withField(delivery(), 'Webhook-Id', 'msg_other')],
    ['another timestamp than the signed one', () => withField(delivery(), 'Webhook-Timestamp', '1')],
    ['another body than the signed one', () => ({ ...delivery(), body: Buffer.from('{"id":2}') })],
    ['the same JSON in other bytes', () => ({ ...delivery(), body: Buffer.from('{ "id": 1 }') })],
    [
      'bytes that decode to the same text',
      () => ({
        ...signed('{"a":"\u{FFFD}"}'),
        body: Buffer.from([...Buffer.from('{"a":"'), 0xff, ...Buffer.from('"}')]),
      }),
    ],
    ['a signature cut short', () => withField(delivery(), 'Webhook-Signature', 'v1,AAAA')],
    [
      'another version alone',
      () => {
        const one = delivery();
        return withField(one, 'Webhook-Signature', one.fields[5]!.replace('v1', 'v1a'));
      },
    ],
    ['a timestamp too old', () => delivery({ atMs: clock.nowMs() - 301_000 })],
    ['a timestamp too new', () => delivery({ atMs: clock.nowMs() + 302_000 })],
    [
      'two ids',
      () => {
        const one = delivery();
        return { ...one, fields: [...one.fields, 'webhook-id', 'msg_other'] };
      },
    ],
  ];

  it.each(refused)('rejects with 401: %s', async (_what, make) => {
    const feed = makeFeed();
    const reader = await opened(feed);
    const { status } = await feed.receiver!.receive(make());
    expect(status).toBe(401);
    await settle();
    expect(reader.events.filter((event) => event.kind !== 'head').map((event) => event.kind)).toEqual([
      'gap',
    ]);
  });

  it('accepts one matching signature among several', async () => {
    const feed = makeFeed();
    const reader = await opened(feed);
    const one = delivery();
    const wrong = Buffer.alloc(32).toString('base64');
    const several = `v1a,${wrong} v1,${wrong} ${one.fields[5]!} v2,x`;
    await deliver(feed, reader, withField(one, 'Webhook-Signature', several));
  });

  it('accepts either secret while they rotate', async () => {
    const old = Buffer.from('the old key');
    const feed = makeFeed({ options: { secret: [webhookSecret, `whsec_${old.toString('base64')}`] } });
    const reader = await opened(feed);
    await deliver(feed, reader, delivery());
    await deliver(feed, reader, delivery({ key: old }));
  });

  it('uses a secret without whsec_ as its text and as what it encodes', async () => {
    const feed = makeFeed({ options: { secret: 'c2VjcmV0' } });
    const reader = await opened(feed);
    await deliver(feed, reader, delivery({ key: Buffer.from('c2VjcmV0') }));
    await deliver(feed, reader, delivery({ key: Buffer.from('secret') }));
  });

  it('agrees with the example of the Standard Webhooks specification', () => {
    const key = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64');
    const body = Buffer.from('{"test": 2432232314}');
    expect(signatureOf('msg_p5jXN8AQM9LWM0D4loKWxJek', '1614265330', body, key)).toBe(
      'g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    );
  });

  it.each([
    ['GET', 405, 'GET'],
    ['a body beyond the limit', 413, 'POST'],
  ] as const)('rejects %s with %i', async (_what, status, method) => {
    const feed = makeFeed({ options: { 'max-body': '4B' } });
    expect((await feed.receiver!.receive({ ...delivery(), method })).status).toBe(status);
  });

  it.each([[''], ['whsec_'], ['whsec_not base64!'], [[]]])('rejects %j as a secret', (secret) => {
    expect(webhookFeed.schema.safeParse({ path: '/hook', secret }).success).toBe(false);
  });
});

describe('webhook: deliveries', () => {
  it('answers 204 only when the delivery is durable', async () => {
    const feed = makeFeed();
    const reader = await opened(feed);
    let answer: DeliveryAnswer | null = null;
    void feed.receiver!.receive(signed({ id: 1 })).then((given) => {
      answer = given;
    });
    const events = await reader.until((all) => all.some((event) => event.kind === 'change'));
    await settle();
    expect(answer).toBeNull();
    feed.acknowledge(positionOf(events.find((event) => event.kind === 'change')!));
    await settle();
    expect(answer).toEqual({ status: 204, detail: '' });
  });

  it('answers 503 while the feed is not open, and then begins with a gap', async () => {
    const feed = makeFeed({ format: 'cloudevents' });
    expect((await feed.receiver!.receive(signed({ id: 1 }))).status).toBe(503);
    const reader = read(feed, '4 {"/shop":"9"}');
    const events = await reader.until((all) => all.length > 0);
    expect(events[0]).toMatchObject({ kind: 'gap', reason: 'a delivery was refused' });
  });

  it('answers 503 to deliveries that are not durable when it ends, and then begins with a gap', async () => {
    const feed = makeFeed();
    const first = await opened(feed);
    const answer = feed.receiver!.receive(signed({ id: 1 }));
    await first.until((all) => all.some((event) => event.kind === 'change'));
    await first.stop();
    expect((await answer).status).toBe(503);
    const second = await opened(feed, '1');
    expect(second.events[0]!.kind).toBe('gap');
  });

  it('answers 503 beyond a limit, and reports a gap', async () => {
    const feed = makeFeed();
    const reader = await opened(feed);
    reader.pause();
    const answers = Array.from({ length: 1_001 }, (_, i) => feed.receiver!.receive(signed({ id: i })));
    expect((await answers.at(-1)!).status).toBe(503);
    reader.resume();
    const events = await reader.until((all) => all.filter((event) => event.kind === 'gap').length > 1);
    expect(events.findLast((event) => event.kind === 'gap')).toMatchObject({
      reason: 'a delivery was refused',
    });
  });

  it('keeps its limit in bytes after it ended with deliveries that were not durable', async () => {
    const feed = makeFeed();
    const send = (i: number) => feed.receiver!.receive(signed({ i, text: 'x'.repeat(2 ** 20 - 64) }));
    const first = await opened(feed);
    const given = Array.from({ length: 20 }, (_, i) => send(i));
    await first.until((all) => all.filter(isMessage).length === 20);
    await first.stop();
    expect((await Promise.all(given)).every(({ status }) => status === 503)).toBe(true);
    (await opened(feed, '1')).pause();
    const answers = Array.from({ length: 40 }, (_, i) => send(100 + i));
    expect((await answers.at(-1)!).status).toBe(503);
  });

  it('makes one change of a delivery that arrives twice at once, and answers both', async () => {
    const feed = makeFeed();
    const reader = await opened(feed);
    const delivery = signed({ id: 1 });
    const twin = feed.receiver!.receive(delivery);
    await deliver(feed, reader, delivery);
    expect((await twin).status).toBe(204);
    expect((await feed.receiver!.receive(delivery)).status).toBe(204);
    expect(reader.events.filter((event) => event.kind === 'change')).toHaveLength(1);
  });

  it('treats the same id with other content as another delivery', async () => {
    const feed = makeFeed();
    const reader = await opened(feed);
    await deliver(feed, reader, signed({ id: 1 }, { id: 'msg_same' }));
    await deliver(feed, reader, signed({ id: 2 }, { id: 'msg_same' }));
    expect(reader.events.filter((event) => event.kind === 'change')).toHaveLength(2);
  });

  it('accepts a delivery again whose first attempt was not durable', async () => {
    const feed = makeFeed();
    const delivery = signed({ id: 1 });
    expect((await feed.receiver!.receive(delivery)).status).toBe(503);
    const reader = await opened(feed);
    await deliver(feed, reader, delivery);
  });

  it('reports a malformed delivery as unintelligible, and answers 204', async () => {
    const feed = makeFeed();
    const reader = await opened(feed);
    const events = await deliver(feed, reader, signed('no JSON'));
    expect(events[0]!.kind).toBe('unintelligible');
  });
});

describe('webhook: proofs of the head', () => {
  it('begins with a gap at every start where sequences are unknown', async () => {
    const feed = makeFeed();
    const reader = await opened(feed, '12');
    expect(reader.events[0]).toMatchObject({ kind: 'gap' });
  });

  it('is at its head as long as it is ready to receive', async () => {
    const reader = await opened(makeFeed());
    await reader.until((events) => events.some((event) => event.kind === 'head'));
    clock.advance(1_000);
    const events = await reader.until((all) => all.filter((event) => event.kind === 'head').length > 1);
    expect(events.at(-1)).toEqual({ kind: 'head', position: null, askedAtMonotonicMs: clock.monotonicMs() });
  });

  it('with heartbeats is at its head only by deliveries', async () => {
    const feed = makeFeed({ options: { heartbeats: true } });
    const reader = await opened(feed);
    clock.advance(10_000);
    await settle();
    expect(reader.events.some((event) => event.kind === 'head')).toBe(false);
    const receivedAt = clock.monotonicMs();
    await deliver(feed, reader, signed([]));
    const events = await reader.until((all) => all.some((event) => event.kind === 'head'));
    expect(events.at(-1)).toEqual({ kind: 'head', position: null, askedAtMonotonicMs: receivedAt });
  });
});

function cloudEvent(sequence: string | null, source = '/shop'): Record<string, unknown> {
  return {
    specversion: '1.0',
    id: `${source}-${sequence}`,
    source,
    type: 'changed',
    ...(sequence === null ? {} : { sequence, sequencetype: 'Integer' }),
    data: { after: { id: 1 } },
  };
}

describe('webhook: CloudEvents and their sequence', () => {
  const structured = ['Content-Type', 'application/cloudevents+json'];
  const batch = ['Content-Type', 'application/cloudevents-batch+json'];

  async function sequenced(...sequences: string[]): Promise<FeedEvent[]> {
    const feed = makeFeed({ format: 'cloudevents' });
    const reader = await opened(feed);
    const events: FeedEvent[] = [];
    for (const one of sequences) {
      events.push(...(await deliver(feed, reader, signed(cloudEvent(one), { fields: structured }))));
    }
    return events;
  }

  it('finds a missing sequence', async () => {
    const events = await sequenced('1', '2', '4');
    expect(events.map(({ kind }) => kind)).toEqual(['change', 'change', 'gap', 'change']);
    expect(events[2]).toMatchObject({ reason: '/shop went from sequence 2 to 4' });
  });

  it('finds none where events are late or repeated', async () => {
    const events = await sequenced('9', '8', '9', '10');
    expect(events.map(({ kind }) => kind)).toEqual(['change', 'change', 'change', 'change']);
  });

  it('compares sequences beyond 2^53', async () => {
    const events = await sequenced('9007199254740993', '9007199254740994', '9007199254740996');
    expect(events.map(({ kind }) => kind)).toEqual(['change', 'change', 'gap', 'change']);
  });

  it('needs no gap at a start, and finds what was missed meanwhile', async () => {
    const after = positionOf((await sequenced('1', '2')).at(-1)!);
    expect(webhookFeed.showPosition(after)).toBe('3');
    const feed = makeFeed({ format: 'cloudevents' });
    const reader = await opened(feed, after);
    const events = await deliver(feed, reader, signed(cloudEvent('4'), { fields: structured }));
    expect(reader.events[0]!.kind).toBe('head');
    expect(events.map(({ kind }) => kind)).toEqual(['gap', 'change']);
  });

  it('needs a gap after it ended with a delivery that was not durable', async () => {
    const feed = makeFeed({ format: 'cloudevents' });
    const first = await opened(feed);
    const [last] = await deliver(feed, first, signed(cloudEvent('1'), { fields: structured }));
    const answer = feed.receiver!.receive(signed(cloudEvent('2'), { fields: structured }));
    await first.until((all) => all.filter(isMessage).length > 1);
    await first.stop();
    expect((await answer).status).toBe(503);
    const second = await opened(feed, positionOf(last!));
    expect(second.events[0]).toMatchObject({ kind: 'gap', reason: 'a delivery was refused' });
    await second.stop();

    // Only a durable gap covers the deliveries that were rejected.
    const third = await opened(feed, positionOf(last!));
    const [gap] = third.events;
    expect(gap!.kind).toBe('gap');
    const covered = gap!.kind === 'gap' ? gap!.position! : '';
    feed.acknowledge(covered);
    await deliver(feed, third, signed(cloudEvent('2'), { fields: structured }));
    await third.stop();
    const fourth = await opened(feed, positionOf(third.events.findLast(isMessage)!));
    expect(fourth.events[0]!.kind).toBe('head');
  });

  it('needs a gap at a start once a delivery had no sequence', async () => {
    const feed = makeFeed({ format: 'cloudevents' });
    const reader = await opened(feed);
    await deliver(feed, reader, signed(cloudEvent('1'), { fields: structured }));
    const [last] = await deliver(feed, reader, signed(cloudEvent(null), { fields: structured }));
    const second = await opened(makeFeed({ format: 'cloudevents' }), positionOf(last!));
    expect(second.events[0]!.kind).toBe('gap');
  });

  it('follows each source separately, also within a batch', async () => {
    const feed = makeFeed({ format: 'cloudevents' });
    const reader = await opened(feed);
    await deliver(feed, reader, signed([cloudEvent('1', '/a'), cloudEvent('7', '/b')], { fields: batch }));
    const whole = await deliver(
      feed,
      reader,
      signed([cloudEvent('2', '/a'), cloudEvent('8', '/b')], { fields: batch }),
    );
    expect(whole.map(({ kind }) => kind)).not.toContain('gap');
    const holed = await deliver(
      feed,
      reader,
      signed([cloudEvent('3', '/a'), cloudEvent('10', '/b')], { fields: batch }),
    );
    expect(holed[0]!.kind).toBe('gap');
  });

  it('reads the binary mode', async () => {
    const feed = makeFeed({ format: 'cloudevents' });
    const reader = await opened(feed);
    const fields = ['Content-Type', 'application/json', 'ce-specversion', '1.0', 'ce-id', '1'];
    const delivery = signed({ after: { id: 1 } }, { fields: [...fields, 'ce-source', '/s', 'ce-type', 't'] });
    const [change] = await deliver(feed, reader, delivery);
    expect(change).toMatchObject({ kind: 'change', changes: [{ after: { id: 1 } }] });
  });
});

describe('webhook: positions', () => {
  it('have the order of deliveries, and no order with malformed ones', () => {
    expect(webhookFeed.comparePositions('9', '10 {"/shop":"1"}')).toBeLessThan(0);
    expect(webhookFeed.comparePositions('10', '10 {"/shop":"1"}')).toBe(0);
    for (const text of ['', 'x', '-1', '1 {', '1 {"a":"b"}', '1 []']) {
      expect(webhookFeed.comparePositions(text, '1')).toBeNull();
    }
  });
});
