import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { Feed, FeedEvent } from '../../origin-adapters/feeds/feed.ts';
import { redisStreamFeed } from '../../origin-adapters/feeds/redis-stream.ts';
import {
  changesOf,
  contractMaxSilenceMs,
  describeFeed,
  idsOf,
  type FeedService,
} from '../contracts/feed-contract.ts';
import { readFeed, testFeedDeps, type FeedReader } from '../contracts/feed-reader.ts';
import { freePort } from '../support/free-port.ts';
import { requireProgram } from '../support/programs.ts';
import { RedisServer } from '../support/redis-server.ts';
import { tlsCertificate, tlsKey, tlsName } from '../support/tls-identity.ts';
import { depsWithoutLibraries, failureOf } from './feed-failure.ts';

/** The server of the test that runs, with an empty stream, and what reads it. */
class Scene {
  #server: RedisServer | null = null;
  #readers: FeedReader[] = [];

  async start(parameters: readonly string[] = []): Promise<RedisServer> {
    this.#server = await RedisServer.start(path, parameters);
    await this.#server.run(...emptyStream);
    return this.#server;
  }

  read(
    after: string | null,
    options: Readonly<Record<string, unknown>> = {},
    format: 'json' | 'cloudevents' = 'json',
  ): FeedReader {
    const reader = readFeed(feedOf({ url: this.#server!.url, ...options }, format), after);
    this.#readers.push(reader);
    return reader;
  }

  /** A reader that has begun at the head. */
  async attached(
    options: Readonly<Record<string, unknown>> = {},
    format: 'json' | 'cloudevents' = 'json',
  ): Promise<FeedReader> {
    const reader = this.read(null, options, format);
    await reader.until((events) => events.length > 0);
    return reader;
  }

  /** Adds rows, reads them all, and gives the last one's position. */
  async positionAfter(ids: readonly string[]): Promise<string> {
    const reader = await this.attached();
    await this.#server!.run(...ids.map((id) => xadd(id)));
    const events = await reader.until((all) => idsOf(all).length >= ids.length);
    await reader.stop();
    return changesOf(events).at(-1)!.position;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#readers.map((reader) => reader.stop()));
    this.#readers = [];
    await this.#server?.stop();
    this.#server = null;
  }
}

const program = requireProgram('redis-server');
const path = program.kind === 'found' ? program.path : '';

describeFeed('redis-stream', {
  adapter: redisStreamFeed,
  skip: program.kind === 'found' ? null : program.reason,
  start,
});

async function start(): Promise<FeedService> {
  const server = await RedisServer.start(path);
  await server.run(...emptyStream);
  return {
    feed: () => feedOf({ url: server.url }),
    publish: async (transactions) => {
      await server.run(...transactions.map((rows) => ['XADD', 'changes', '*', 'data', JSON.stringify(rows)]));
    },
    trim: async () => {
      await server.run(['XTRIM', 'changes', 'MAXLEN', '0']);
    },
    recreate: async () => {
      await server.run(['DEL', 'changes'], ...emptyStream);
    },
    restart: () => server.restart(),
    cut: async () => {
      await server.run(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes']);
    },
    blackhole: async () => server.pause(),
    resume: async () => server.resume(),
    stop: () => server.stop(),
  };
}

/** A stream that never had an entry. */
const emptyStream = [
  ['XGROUP', 'CREATE', 'changes', 'group', '$', 'MKSTREAM'],
  ['XGROUP', 'DESTROY', 'changes', 'group'],
];

const suite = program.kind === 'found' ? describe : describe.skip;

suite('redis-stream: what proves that nothing was missed', () => {
  const scene = new Scene();
  afterEach(() => scene.stop());

  it('goes on without a gap when only entries that it had read were trimmed', async () => {
    const server = await scene.start();
    const after = await scene.positionAfter(['1', '2']);
    await server.run(xadd('3'), xadd('4'), ['XTRIM', 'changes', 'MAXLEN', '2']);
    const events = await scene.read(after).until((all) => idsOf(all).length >= 2);
    expect(kindsOf(events)).toEqual(['change', 'change']);
  });

  it('says how many entries were trimmed before they were read', async () => {
    const server = await scene.start();
    const after = await scene.positionAfter(['1']);
    await server.run(xadd('2'), xadd('3'), xadd('4'), ['XTRIM', 'changes', 'MAXLEN', '1']);
    const events = await scene.read(after).until((all) => all.length > 0);
    expect(events[0]).toMatchObject({ kind: 'gap', reason: '2 entries were trimmed before they were read' });
  });

  it('finds a gap when an entry was deleted before it was read, and none for one that it had read', async () => {
    const server = await scene.start();
    const after = await scene.positionAfter(['1']);
    const [, second] = await server.run(xadd('2'), xadd('3'));
    await server.run(['XDEL', 'changes', after.split('/')[0]!]);
    const unharmed = scene.read(after);
    await unharmed.until((all) => idsOf(all).length >= 2);
    expect(kindsOf(unharmed.events)).toEqual(['change', 'change']);
    await unharmed.stop();
    await server.run(['XDEL', 'changes', String(second)]);
    const events = await scene.read(after).until((all) => all.length > 0);
    expect(events[0]).toMatchObject({ kind: 'gap', reason: 'entries were deleted before they were read' });
  });

  it('finds a gap when entries are trimmed faster than it reads', async () => {
    const server = await scene.start();
    const reader = await scene.attached();
    reader.pause();
    await server.run(...Array.from({ length: 40 }, (_, i) => xadd(String(i))));
    await server.run(['XTRIM', 'changes', 'MAXLEN', '0'], xadd('last'), xadd('later'));
    reader.resume();
    await reader.until((all) => all.filter((event) => event.kind === 'gap').length > 1);
  });

  it('finds a gap when the server came back with an older state', async () => {
    const server = await scene.start();
    const after = await scene.positionAfter(['1', '2', '3']);
    const [older] = after.split('/');
    await server.run(['DEL', 'changes'], ['XADD', 'changes', '1-1', 'data', '{"id":"old"}']);
    const events = await scene.read(after).until((all) => all.length > 0);
    expect(events[0]).toMatchObject({ kind: 'gap', position: '1-1/1' });
    expect(older).not.toBe('1-1');
  });

  it('finds a gap when the stream was made anew with ids that it knows', async () => {
    const server = await scene.start();
    await server.run(xadd('1', '1-0'), xadd('2', '2-0'), xadd('3', '3-0'));
    await server.run(
      ['DEL', 'changes'],
      xadd('1', '1-0'),
      xadd('2', '2-0'),
      xadd('4', '4-0'),
      xadd('5', '5-0'),
    );
    const reader = scene.read('3-0/3');
    const events = await reader.until((all) => all.some((event) => event.kind === 'head'));
    const kinds = kindsOf(events);
    expect(kinds.indexOf('gap')).toBeGreaterThan(-1);
    expect(kinds.indexOf('gap')).toBeLessThan(kinds.indexOf('head'));
  });

  it('takes a position of another kind of feed for none', async () => {
    await scene.start();
    const events = await scene.read('0/16B3748').until((all) => all.length > 0);
    expect(events[0]).toMatchObject({ kind: 'gap' });
  });
});

suite('redis-stream: what an entry says', () => {
  const scene = new Scene();
  afterEach(() => scene.stop());

  it('reads the field that was named, and the time from the id', async () => {
    const server = await scene.start();
    const reader = await scene.attached({ field: 'payload' });
    await server.run(['XADD', 'changes', '*', 'payload', '{"id":"1"}', 'other', 'x']);
    const change = changesOf(await reader.until((all) => idsOf(all).length > 0))[0]!;
    expect(Math.abs(change.committedAtMs! - Date.now())).toBeLessThan(60_000);
  });

  it('takes the fields themselves for the change where the field is *', async () => {
    const server = await scene.start();
    const reader = await scene.attached({ field: '*' });
    await server.run(['XADD', 'changes', '*', 'table', 'products', 'id', '5']);
    const change = changesOf(await reader.until((all) => idsOf(all).length > 0))[0]!;
    expect(change.changes[0]!.message).toEqual([{ table: 'products', id: '5' }]);
  });

  it('reads CloudEvents in binary mode from its other fields', async () => {
    const server = await scene.start();
    const reader = await scene.attached({}, 'cloudevents');
    const attributes = [
      'ce_specversion',
      '1.0',
      'ce_id',
      'e1',
      'ce_source',
      '/shop',
      'ce_type',
      'product.changed',
    ];
    await server.run(['XADD', 'changes', '*', ...attributes, 'data', '{"id":"7"}']);
    const change = changesOf(await reader.until((all) => changesOf(all).length > 0))[0]!;
    expect(change.changes[0]!.message[0]).toMatchObject({ type: 'product.changed', data: { id: '7' } });
  });

  it('calls an entry without the field unintelligible, and goes on behind it', async () => {
    const server = await scene.start();
    const reader = await scene.attached();
    await server.run(
      ['XADD', 'changes', '*', 'table', 'products'],
      ['XADD', 'changes', '*', 'data', '{'],
      xadd('9'),
    );
    const events = await reader.until((all) => idsOf(all).includes('9'));
    const broken = events.filter((event) => event.kind === 'unintelligible');
    expect(broken.map(({ reason }) => reason)[0]).toBe('the entry has no field data, but table');
    expect(broken).toHaveLength(2);
  });
});

suite('redis-stream: what it can not work with', () => {
  const scene = new Scene();
  afterEach(() => scene.stop());

  it('says that credentials are wrong or missing, and not which', async () => {
    const server = await scene.start(['--requirepass', 'right']);
    const wrong = await failureOf(feedOf({ url: server.url, password: 'wrong-secret' }));
    expect(wrong).toMatchObject({ kind: 'refused', retry: 'slowly' });
    expect(wrong.message).toContain('correct username and password');
    expect(wrong.message).not.toContain('wrong-secret');
    expect(await failureOf(feedOf({ url: server.url }))).toMatchObject({ kind: 'refused', retry: 'slowly' });
    await scene.attached({ url: server.url.replace('//', '//:right@') });
  });

  it('names what a user must be allowed to do', async () => {
    const server = await scene.start();
    await server.run(['ACL', 'SETUSER', 'weir', 'on', '>secret', '~changes', '+ping']);
    const credentials = { username: 'weir', password: 'secret' };
    const failure = await failureOf(feedOf({ url: server.url, ...credentials }));
    expect(failure).toMatchObject({ kind: 'refused', retry: 'slowly' });
    const rights = /needed: (.*) ~changes/.exec(failure.message)![1]!.split(' ');
    await server.run(['ACL', 'SETUSER', 'weir', ...rights]);
    const reader = await scene.attached(credentials);
    await server.run(xadd('1'));
    await reader.until((all) => idsOf(all).includes('1') && all.at(-1)?.kind === 'head');
  });

  it('says that the stream is not there', async () => {
    const server = await scene.start();
    const failure = await failureOf(feedOf({ url: server.url, stream: 'other' }));
    expect(failure).toMatchObject({ kind: 'missing', retry: 'slowly' });
    expect(failure.message).toContain('there is no stream other');
  });

  it('says that the key is not a stream', async () => {
    const server = await scene.start();
    await server.run(['SET', 'other', 'text']);
    const failure = await failureOf(feedOf({ url: server.url, stream: 'other' }));
    expect(failure).toMatchObject({ kind: 'missing', retry: 'slowly' });
    expect(failure.message).toContain('the key other is not a stream');
  });

  it('says that there is no such database', async () => {
    const server = await scene.start();
    expect(await failureOf(feedOf({ url: `${server.url}/99` }))).toMatchObject({ kind: 'missing' });
  });

  it('says that the server is down, and tries again soon', async () => {
    const server = await scene.start();
    await server.end();
    const failure = await failureOf(feedOf({ url: server.url }));
    expect(failure).toMatchObject({ kind: 'unreachable', retry: 'soon' });
    expect(failure.message).toContain('ECONNREFUSED');
  });

  it('fails when the server dies while it waits', async () => {
    const server = await scene.start();
    const reader = await scene.attached();
    await server.end();
    await reader.ended;
    expect(reader.events.at(-1)).toMatchObject({
      kind: 'failed',
      failure: { kind: 'unreachable', retry: 'soon' },
    });
  });

  it('does not take a replica, whose head is not the head', async () => {
    const server = await scene.start();
    const port = new URL(server.url).port;
    const replica = await RedisServer.start(path, ['--replicaof', '127.0.0.1', port]);
    const failure = await failureOf(feedOf({ url: replica.url }));
    await replica.stop();
    expect(failure).toMatchObject({ kind: 'protocol', retry: 'slowly' });
    expect(failure.message).toContain("its master's url");
  });

  it('leaves no connection behind when it has failed or was stopped', async () => {
    const server = await scene.start();
    await failureOf(feedOf({ url: server.url, stream: 'other' }));
    const replica = await RedisServer.start(path, ['--replicaof', '127.0.0.1', '1']);
    await failureOf(feedOf({ url: replica.url }));
    await (await scene.attached()).stop();
    for (const one of [server, replica]) {
      let [clients] = await one.run(['CLIENT', 'LIST', 'TYPE', 'NORMAL']);
      while (String(clients).trim().split('\n').length > 1) {
        [clients] = await one.run(['CLIENT', 'LIST', 'TYPE', 'NORMAL']);
      }
    }
    await replica.stop();
  });

  it('says which package is missing', async () => {
    const failure = await failureOf(feedOf({ url: 'redis://127.0.0.1:1' }, 'json', depsWithoutLibraries));
    expect(failure).toMatchObject({ kind: 'library', message: 'npm install redis' });
  });
});

suite('redis-stream over TLS', () => {
  const scene = new Scene();
  afterEach(() => scene.stop());

  it('trusts the authority that it was given, and nobody else', async () => {
    const server = await scene.start();
    const [ca, key] = [join(server.folder, 'ca.pem'), join(server.folder, 'key.pem')];
    await writeFile(ca, tlsCertificate);
    await writeFile(key, tlsKey);
    const port = await freePort();
    const files = { 'tls-cert-file': ca, 'tls-key-file': key, 'tls-ca-cert-file': ca };
    const settings = { ...files, 'tls-auth-clients': 'no', 'tls-port': String(port) };
    await server.run(...Object.entries(settings).map(([name, value]) => ['CONFIG', 'SET', name, value]));
    const url = `rediss://127.0.0.1:${port}`;
    await scene.attached({ url, tls: { ca, 'server-name': tlsName } });
    const untrusted = await failureOf(feedOf({ url, tls: { 'server-name': tlsName } }));
    expect(untrusted).toMatchObject({ kind: 'refused', retry: 'slowly' });
    const misnamed = await failureOf(feedOf({ url, tls: { ca, 'server-name': 'other.example' } }));
    expect(misnamed).toMatchObject({ kind: 'refused', retry: 'slowly' });
    const absent = await failureOf(feedOf({ url, tls: { ca: join(server.folder, 'none.pem') } }));
    expect(absent.message).toContain("tls.ca can't be read");
  });
});

describe('redis-stream: its options', () => {
  const { schema } = redisStreamFeed;

  it.each([
    'redis://localhost',
    'redis://localhost:6379/2',
    'rediss://user:p%40ss@redis.example:6380/0',
    'redis://[::1]:6379',
  ])('take %s', (url) => {
    expect(schema.safeParse({ url, stream: 's' }).success).toBe(true);
  });

  it.each(['localhost:6379', 'http://localhost', 'redis://', 'redis://host/db', 'redis://host:6379/0?x=1'])(
    'do not take %s',
    (url) => {
      expect(schema.safeParse({ url, stream: 's' }).success).toBe(false);
    },
  );

  it('refuse a certificate without its key, and keys that are not known', () => {
    const base = { url: 'rediss://h', stream: 's' };
    expect(schema.safeParse({ ...base, tls: { cert: 'c.pem' } }).success).toBe(false);
    expect(schema.safeParse({ ...base, group: 'g' }).success).toBe(false);
  });
});

function xadd(id: string, at = '*'): string[] {
  return ['XADD', 'changes', at, 'data', JSON.stringify({ id })];
}

function kindsOf(events: readonly FeedEvent[]): string[] {
  return events
    .filter(({ kind }) => kind === 'change' || kind === 'gap' || kind === 'head')
    .map(({ kind }) => kind);
}

function feedOf(
  options: Readonly<Record<string, unknown>>,
  format: 'json' | 'cloudevents' = 'json',
  deps = testFeedDeps,
): Feed {
  return redisStreamFeed.create(
    {
      name: 'feed',
      type: 'redis-stream',
      format,
      maxSilenceMs: contractMaxSilenceMs,
      readLagMs: 0,
      map: [],
      options: redisStreamFeed.schema.parse({ stream: 'changes', ...options }),
    },
    deps,
  );
}
