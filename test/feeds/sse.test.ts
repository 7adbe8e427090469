import { afterEach, describe, expect, it } from 'vitest';
import type { FeedClock, FeedEvent } from '../../origin-adapters/feeds/feed.ts';
import { sseFeed } from '../../origin-adapters/feeds/sse.ts';
import { readFeed, testFeedDeps, type FeedReader } from '../contracts/feed-reader.ts';
import { gate, settle } from '../support/barrier.ts';
import { freePort } from '../support/free-port.ts';
import { startScriptedOrigin, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { FakeClock } from './fake-clock.ts';

const stream = ['Content-Type', 'text/event-stream'];

let origin: ScriptedOrigin;
let readers: FeedReader[] = [];

/** A feed whose origin writes these pieces to every connection and leaves it open. */
async function feedOf(pieces: readonly string[], options: Record<string, unknown> = {}) {
  origin = await startScriptedOrigin({});
  origin.on('/changes', async (_request, answer) => {
    answer.head(200, stream);
    for (const piece of pieces) await answer.write(piece);
    await answer.gone;
  });
  return feedAt(origin.url, options);
}

function feedAt(url: string, options: Record<string, unknown> = {}, clock: FeedClock = testFeedDeps.clock) {
  return sseFeed.create(
    {
      name: 'feed',
      type: 'sse',
      format: 'json',
      maxSilenceMs: 60_000,
      readLagMs: 0,
      versionField: null,
      map: [],
      options: sseFeed.schema.parse({ url: `${url}/changes`, ...options }),
    },
    { ...testFeedDeps, clock },
  );
}

function read(feed: ReturnType<typeof feedAt>, after: string | null): FeedReader {
  const reader = readFeed(feed, after);
  readers.push(reader);
  return reader;
}

function isEnd(event: FeedEvent): boolean {
  return event.kind === 'change' && event.position === 'end';
}

/** The kinds of events up to a change with id `end`. */
async function kindsUntilEnd(reader: FeedReader): Promise<string[]> {
  const events = await reader.until((all) => all.some(isEnd));
  return events.slice(0, events.findIndex(isEnd)).map((event) => event.kind);
}

const end = 'id: end\ndata: {}\n\n';

afterEach(async () => {
  await Promise.all(readers.map((reader) => reader.stop()));
  readers = [];
  await origin.close();
});

describe('sse: requests', () => {
  it('requests the events after the last id, with the configured authorization', async () => {
    const reader = read(await feedOf([end], { authorization: 'Bearer abc' }), '41');
    await kindsUntilEnd(reader);
    const fields = origin.requests[0]!.fields.map((field) => field.toLowerCase());
    expect(fields[fields.indexOf('last-event-id') + 1]).toBe('41');
    expect(fields[fields.indexOf('authorization') + 1]).toBe('bearer abc');
    expect(fields[fields.indexOf('accept') + 1]).toBe('text/event-stream');
  });

  it('requests no replay where the origin has none, and begins with a gap', async () => {
    const reader = read(await feedOf([end], { replay: false }), '41');
    expect(await kindsUntilEnd(reader)).toEqual(['gap']);
    expect(origin.requests[0]!.fields.map((field) => field.toLowerCase())).not.toContain('last-event-id');
  });

  it('begins with a gap after a stream without ids', async () => {
    const reader = read(await feedOf(['data: {"id":1}\n\n', end]), null);
    expect(await kindsUntilEnd(reader)).toEqual(['gap', 'change']);
    expect(reader.events[1]).toMatchObject({ kind: 'change', position: '' });
    await reader.stop();
    const again = read(feedAt(origin.url), '');
    expect(await kindsUntilEnd(again)).toEqual(['gap', 'change']);
  });

  it.each(['a\u0001', 'a\u007f'])("begins with a gap after an id that a header can't contain", async (id) => {
    const reader = read(await feedOf(['data: {"id":1}\n\n', end]), id);
    expect(await kindsUntilEnd(reader)).toEqual(['gap', 'change']);
    expect(origin.requests[0]!.fields.map((field) => field.toLowerCase())).not.toContain('last-event-id');
  });
});

describe('sse: events', () => {
  it('keeps the last id for events that have none', async () => {
    const reader = read(await feedOf(['id: 5\ndata: {}\n\n', 'data: {}\n\n', end]), '4');
    await kindsUntilEnd(reader);
    expect(reader.events.map((event) => ('position' in event ? event.position : null))).toEqual([
      '5',
      '5',
      'end',
    ]);
  });

  it('reads events of any other name as changes', async () => {
    const reader = read(await feedOf(['event: product\nid: 5\ndata: {}\n\n', end]), '4');
    expect(await kindsUntilEnd(reader)).toEqual(['change']);
  });

  it('advances its position by a block with only an id', async () => {
    const reader = read(await feedOf(['id: 5\n\n', end]), '4');
    await kindsUntilEnd(reader);
    expect(reader.events[0]).toEqual({ kind: 'change', position: '5', changes: [] });
  });

  it.each(['event: reset\n\n', 'event: reset\ndata\n\n', 'event: reset\nid: 9\ndata: {}\n\n'])(
    'finds a gap in %j',
    async (reset) => {
      const reader = read(await feedOf([reset, end]), '4');
      expect(await kindsUntilEnd(reader)).toEqual(['gap']);
      expect(reader.events[0]).toMatchObject({ position: reset.includes('id') ? '9' : null });
    },
  );

  it('reports an unintelligible event', async () => {
    const reader = read(await feedOf(['id: 5\ndata: nonsense\n\n', end]), '4');
    expect(await kindsUntilEnd(reader)).toEqual(['unintelligible']);
    expect(reader.events[0]).toMatchObject({ position: '5' });
  });

  it('reads characters that the network cuts in two', async () => {
    origin = await startScriptedOrigin({});
    origin.on('/changes', async (_request, answer) => {
      answer.head(200, stream);
      const bytes = Buffer.from('id: 5\ndata: {"id":"ä"}\n\nid: end\ndata: {}\n\n');
      const cut = bytes.indexOf(0xc3) + 1;
      await answer.write(bytes.subarray(0, cut));
      await answer.write(bytes.subarray(cut));
      await answer.gone;
    });
    const reader = read(feedAt(origin.url), '4');
    await kindsUntilEnd(reader);
    expect(reader.events[0]).toMatchObject({ changes: [{ message: [{ id: 'ä' }] }] });
  });
});

describe('sse: what proves that it is at its head', () => {
  const change = 'id: 5\ndata: {}\n\n';
  const cases: [string, string | null, string[], string[]][] = [
    [
      'event: head, with data or without',
      '4',
      ['event: head\n\n', 'event: head\ndata\n\n'],
      ['head', 'head'],
    ],
    ['a comment after the replay', '4', [change, ':\n\n'], ['change', 'head']],
    ['not a first comment, when there is something to replay', '4', [':ok\n\n', change], ['change']],
    ['a second comment where nothing is replayed', '4', [':ok\n\n', ':\n\n'], ['head']],
    ['a first comment where nothing is to be replayed', null, [':ok\n\n'], ['gap', 'head']],
    ['a comment after event: head', '4', ['event: head\n\n', ':\n\n'], ['head', 'head']],
    ['not a change', '4', [change, change], ['change', 'change']],
  ];

  it.each(cases)('%s', async (_what, after, pieces, kinds) => {
    const reader = read(await feedOf([...pieces, end]), after);
    expect(await kindsUntilEnd(reader)).toEqual(kinds);
  });

  it('no comment before event: head, from an origin that sends that event', async () => {
    const feed = await feedOf(['event: head\n\n', end]);
    const first = read(feed, '4');
    await kindsUntilEnd(first);
    await first.stop();
    origin.on('/changes', async (_request, answer) => {
      answer.head(200, stream);
      await answer.write(`${change}:\n\n:\n\n${end}`);
      await answer.gone;
    });
    const second = read(feed, '4');
    expect(await kindsUntilEnd(second)).toEqual(['change']);
  });
});

describe('sse: when it was at its head', () => {
  it('is the time when a comment arrived, not when it was processed', async () => {
    const clock = new FakeClock();
    const later = gate();
    origin = await startScriptedOrigin({});
    origin.on('/changes', async (_request, answer) => {
      answer.head(200, stream);
      await answer.write('event: head\n\nid: 5\ndata: {}\n\n:\n\n');
      await later.promise;
      await answer.write(':\n\n');
      await answer.gone;
    });
    const abort = new AbortController();
    const events = feedAt(origin.url, {}, clock).open('4', abort.signal)[Symbol.asyncIterator]();
    const next = async (): Promise<FeedEvent> => ((await events.next()) as { value: FeedEvent }).value;
    expect(await next()).toMatchObject({ kind: 'head' });
    expect(await next()).toMatchObject({ kind: 'change' });
    const askedAtMonotonicMs = clock.monotonicMs();
    clock.stall(60_000);
    expect(await next()).toMatchObject({ kind: 'head', askedAtMonotonicMs });
    const awaited = next();
    await settle();
    clock.stall(1_000);
    later.open();
    expect(await awaited).toMatchObject({ kind: 'head', askedAtMonotonicMs: clock.monotonicMs() });
    abort.abort();
    await events.return?.();
  });
});

describe('sse: failures', () => {
  const answers: [string, number, string[], string, string][] = [
    ['401', 401, stream, 'refused', 'slowly'],
    ['403', 403, stream, 'refused', 'slowly'],
    ['404', 404, stream, 'missing', 'slowly'],
    ['503', 503, stream, 'unreachable', 'soon'],
    ['a redirection', 302, ['Location', '/elsewhere'], 'protocol', 'slowly'],
    ['HTML', 200, ['Content-Type', 'text/html'], 'protocol', 'slowly'],
    ['a compressed stream', 200, [...stream, 'Content-Encoding', 'gzip'], 'protocol', 'slowly'],
  ];

  it.each(answers)('reports what is wrong with %s', async (_what, status, fields, kind, retry) => {
    origin = await startScriptedOrigin({ '/changes': { status, fields, body: 'x' } });
    const reader = read(feedAt(origin.url), '4');
    await reader.ended;
    expect(reader.events).toMatchObject([{ kind: 'failed', failure: { kind, retry } }]);
  });

  it('reports that no server responds', async () => {
    origin = await startScriptedOrigin({});
    const reader = read(feedAt(`http://127.0.0.1:${await freePort()}`), '4');
    await reader.ended;
    expect(reader.events).toMatchObject([
      { kind: 'failed', failure: { kind: 'unreachable', retry: 'soon' } },
    ]);
  });

  it('reports a cut connection after the complete blocks received before', async () => {
    origin = await startScriptedOrigin({});
    origin.on('/changes', async (_request, answer) => {
      answer.head(200, stream);
      await answer.write(`${end}id: 6\ndata: {}`);
      answer.cut();
    });
    const reader = read(feedAt(origin.url), '4');
    await reader.ended;
    expect(reader.events.map((event) => event.kind)).toEqual(['change', 'failed']);
  });

  it('reports the end of the stream', async () => {
    origin = await startScriptedOrigin({ '/changes': { status: 200, fields: stream, body: end } });
    const reader = read(feedAt(origin.url), '4');
    await reader.ended;
    expect(reader.events.at(-1)).toMatchObject({ kind: 'failed', failure: { kind: 'unreachable' } });
  });

  it('treats an event beyond its limit as a gap', async () => {
    const piece = `data: ${'x'.repeat(2 ** 20)}\n`;
    const reader = read(await feedOf(Array.from({ length: 17 }, () => piece)), '4');
    await reader.ended;
    expect(reader.events).toMatchObject([{ kind: 'gap' }, { kind: 'failed', failure: { retry: 'slowly' } }]);
  });
});

describe('sse: positions', () => {
  it('are compared as numbers of any size, and have no order otherwise', async () => {
    origin = await startScriptedOrigin({});
    expect(sseFeed.comparePositions('9', '10')).toBeLessThan(0);
    expect(sseFeed.comparePositions('9007199254740993', '9007199254740992')).toBeGreaterThan(0);
    expect(sseFeed.comparePositions('a', 'a')).toBe(0);
    expect(sseFeed.comparePositions('a', 'b')).toBeNull();
  });
});
