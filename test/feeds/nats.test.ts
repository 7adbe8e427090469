import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RetentionPolicy, type StreamConfig } from '@nats-io/jetstream';
import { headers, nkeyAuthenticator, nkeys } from '@nats-io/transport-node';
import { afterEach, describe, expect, it } from 'vitest';
import type { Feed, FeedEvent } from '../../origin-adapters/feeds/feed.ts';
import { natsFeed } from '../../origin-adapters/feeds/nats.ts';
import {
  changesOf,
  contractMaxSilenceMs,
  describeFeed,
  idsOf,
  type FeedService,
} from '../contracts/feed-contract.ts';
import { readFeed, testFeedDeps, type FeedReader } from '../contracts/feed-reader.ts';
import { until } from '../support/barrier.ts';
import { freePort } from '../support/free-port.ts';
import { NatsServer } from '../support/nats-server.ts';
import { requireProgram } from '../support/programs.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { tlsCertificate, tlsKey, tlsName } from '../support/tls-identity.ts';
import { depsWithoutLibraries, failureOf } from './feed-failure.ts';

/** The server of the test that runs, with an empty stream, and what reads it. */
class Scene {
  #server: NatsServer | null = null;
  #readers: FeedReader[] = [];

  async start(configuration = ''): Promise<NatsServer> {
    this.#server = await NatsServer.start(path, configuration);
    return this.#server;
  }

  async startWithStream(more: Partial<StreamConfig> = {}): Promise<NatsServer> {
    const server = await this.start();
    await server.use((manager) => manager.streams.add({ ...stream, ...more }));
    return server;
  }

  read(
    after: string | null,
    options: Readonly<Record<string, unknown>> = {},
    format: 'json' | 'cloudevents' = 'json',
  ): FeedReader {
    const reader = readFeed(feedOf({ servers: this.#server!.url, ...options }, format), after);
    this.#readers.push(reader);
    return reader;
  }

  /** A reader that has begun at the head. */
  async attached(
    options: Readonly<Record<string, unknown>> = {},
    format: 'json' | 'cloudevents' = 'json',
  ): Promise<FeedReader> {
    const reader = this.read(null, options, format);
    await reader.until((events) => events.some(({ kind }) => kind === 'head'));
    return reader;
  }

  async publish(...ids: readonly string[]): Promise<void> {
    await this.#server!.use(async (_manager, client) => {
      for (const id of ids) await client.publish('changes', JSON.stringify({ id }));
    });
  }

  /** Publishes rows, reads them all, and gives the last one's position. */
  async positionAfter(...ids: readonly string[]): Promise<string> {
    const reader = await this.attached();
    await this.publish(...ids);
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

const program = requireProgram('nats-server');
const path = program.kind === 'found' ? program.path : '';

describeFeed('nats', {
  adapter: natsFeed,
  skip: program.kind === 'found' ? null : program.reason,
  start,
});

async function start(): Promise<FeedService> {
  const server = await NatsServer.start(path);
  await server.use((manager) => manager.streams.add(stream));
  const proxy = await TcpProxy.start(server.port);
  return {
    feed: () => feedOf({ servers: `nats://127.0.0.1:${proxy.port}` }),
    publish: (transactions) =>
      server.use(async (_manager, client) => {
        for (const rows of transactions) await client.publish('changes', JSON.stringify(rows));
      }),
    trim: async () => {
      await server.use((manager) => manager.streams.purge('CHANGES'));
    },
    recreate: () =>
      server.use(async (manager) => {
        await manager.streams.delete('CHANGES');
        await manager.streams.add(stream);
      }),
    restart: () => server.restart(),
    cut: async () => proxy.cut(),
    blackhole: async () => server.pause(),
    resume: async () => server.resume(),
    stop: async () => {
      await proxy.stop();
      await server.stop();
    },
  };
}

const stream = { name: 'CHANGES', subjects: ['changes', 'changes.>'] };

const suite = program.kind === 'found' ? describe : describe.skip;

suite('nats: what proves that nothing was missed', () => {
  const scene = new Scene();
  afterEach(() => scene.stop());

  it('goes on without a gap when only messages that it had read were removed', async () => {
    const server = await scene.startWithStream();
    const after = await scene.positionAfter('1', '2');
    await scene.publish('3');
    await server.use((manager) => manager.streams.purge('CHANGES', { seq: 3 }));
    const events = await scene.read(after).until((all) => all.some(({ kind }) => kind === 'head'));
    expect(kindsOf(events)).toEqual(['change', 'head']);
  });

  it('finds a gap when a message among those to come was deleted', async () => {
    const server = await scene.startWithStream();
    const after = await scene.positionAfter('1');
    await scene.publish('2', '3', '4');
    await server.use((manager) => manager.streams.deleteMessage('CHANGES', 3));
    const events = await scene.read(after).until((all) => all.some(({ kind }) => kind === 'head'));
    expect(kindsOf(events)).toEqual(['change', 'gap', 'change', 'head']);
    expect(events.find(({ kind }) => kind === 'gap')).toMatchObject({
      reason: 'removed before it was read: message 3',
    });
  });

  it('finds a gap when the last messages were deleted, and is at its head behind it', async () => {
    const server = await scene.startWithStream();
    const after = await scene.positionAfter('1');
    await scene.publish('2', '3', '4');
    await server.use(async (manager) => {
      await manager.streams.deleteMessage('CHANGES', 3);
      await manager.streams.deleteMessage('CHANGES', 4);
    });
    const reader = scene.read(after);
    const events = await reader.until((all) => all.some(({ kind }) => kind === 'head'));
    expect(kindsOf(events)).toEqual(['change', 'gap', 'head']);
    await scene.publish('5');
    await reader.until((all) => idsOf(all).includes('5'));
    expect(kindsOf(reader.events).filter((kind) => kind === 'gap')).toHaveLength(1);
  });

  it('finds a gap when messages are removed faster than it reads', async () => {
    const server = await scene.startWithStream();
    const reader = await scene.attached();
    reader.pause();
    await scene.publish(...Array.from({ length: 40 }, (_, i) => String(i)));
    await server.use((manager) => manager.streams.purge('CHANGES'));
    await scene.publish('last');
    reader.resume();
    const events = await reader.until((all) => idsOf(all).includes('last'));
    expect(kindsOf(events).filter((kind) => kind === 'gap')).toHaveLength(2);
  });

  it('finds a gap where the stream keeps only the last message of a subject', async () => {
    await scene.startWithStream({ max_msgs_per_subject: 1 });
    const after = await scene.positionAfter('1');
    await scene.publish('2', '3');
    const events = await scene.read(after).until((all) => all.some(({ kind }) => kind === 'head'));
    expect(kindsOf(events)).toEqual(['gap', 'head']);
  });

  it('takes a position of another kind of feed for none', async () => {
    await scene.startWithStream();
    const events = await scene.read('1795216768160-0/3').until((all) => all.length > 0);
    expect(events[0]).toMatchObject({ kind: 'gap' });
  });

  it('begins anew when its consumer is deleted by somebody', async () => {
    const server = await scene.startWithStream();
    const reader = await scene.attached();
    await server.use(async (manager) => {
      for await (const consumer of manager.consumers.list('CHANGES')) {
        await manager.consumers.delete('CHANGES', consumer.name);
      }
    });
    await reader.ended;
    expect(reader.events.at(-1)).toMatchObject({
      kind: 'failed',
      failure: { kind: 'unreachable', retry: 'soon', message: 'reading was ended: consumer deleted' },
    });
  });
});

suite('nats: what a message says', () => {
  const scene = new Scene();
  afterEach(() => scene.stop());

  it('passes over other subjects, and is at its head behind them', async () => {
    const server = await scene.startWithStream();
    const reader = await scene.attached({ subjects: ['changes.products.*'] });
    await server.use(async (_manager, client) => {
      await client.publish('changes.products.eu', '{"id":"1"}');
      await client.publish('changes.orders', 'no JSON');
    });
    const events = await reader.until((all) => all.at(-1)?.kind === 'head' && idsOf(all).includes('1'));
    expect(events.at(-1)).toMatchObject({ position: expect.stringMatching(/^2@/) as string });
    expect(kindsOf(events)).not.toContain('unintelligible');
  });

  it('reads CloudEvents in binary mode from its headers, and the time from the server', async () => {
    const server = await scene.startWithStream();
    const reader = await scene.attached({}, 'cloudevents');
    await server.use(async (_manager, client) => {
      const attributes = headers();
      attributes.set('ce-specversion', '1.0');
      attributes.set('ce-id', 'e1');
      attributes.set('ce-source', '/shop');
      attributes.set('ce-type', 'product.changed');
      await client.publish('changes', '{"id":"7"}', { headers: attributes });
    });
    const change = changesOf(await reader.until((all) => changesOf(all).length > 0))[0]!;
    expect(change.changes[0]!.message[0]).toMatchObject({ type: 'product.changed', data: { id: '7' } });
    expect(Math.abs(change.committedAtMs! - Date.now())).toBeLessThan(60_000);
  });

  it('calls what it can not read unintelligible, and goes on behind it', async () => {
    const server = await scene.startWithStream();
    const reader = await scene.attached();
    await server.use((_manager, client) => client.publish('changes', '{'));
    await scene.publish('9');
    const events = await reader.until((all) => idsOf(all).includes('9'));
    expect(kindsOf(events).slice(-2)).toEqual(['unintelligible', 'change']);
  });
});

suite('nats: what it can not work with', () => {
  const scene = new Scene();
  afterEach(() => scene.stop());

  it('says that credentials are wrong or missing, and not which', async () => {
    const server = await scene.start('authorization { user: weir, password: right }');
    await server.use((manager) => manager.streams.add(stream), { user: 'weir', pass: 'right' });
    const wrong = await failureOf(
      feedOf({ servers: server.url, username: 'weir', password: 'wrong-secret' }),
    );
    expect(wrong).toMatchObject({ kind: 'refused', retry: 'slowly' });
    expect(wrong.message).not.toContain('wrong-secret');
    expect(await failureOf(feedOf({ servers: server.url }))).toMatchObject({ kind: 'refused' });
    await scene.attached({ username: 'weir', password: 'right' });
  });

  it('shows a token', async () => {
    const server = await scene.start('authorization { token: right }');
    await server.use((manager) => manager.streams.add(stream), { token: 'right' });
    expect(await failureOf(feedOf({ servers: server.url, token: 'wrong' }))).toMatchObject({
      kind: 'refused',
    });
    await scene.attached({ token: 'right' });
  });

  it('signs with an nkey', async () => {
    const key = nkeys.createUser();
    const seed = new TextDecoder().decode(key.getSeed());
    const server = await scene.start(`authorization { users: [{ nkey: ${key.getPublicKey()} }] }`);
    const authenticator = nkeyAuthenticator(key.getSeed());
    await server.use((manager) => manager.streams.add(stream), { authenticator });
    const other = new TextDecoder().decode(nkeys.createUser().getSeed());
    expect(await failureOf(feedOf({ servers: server.url, nkey: other }))).toMatchObject({ kind: 'refused' });
    expect(await failureOf(feedOf({ servers: server.url, nkey: 'none' }))).toMatchObject({ kind: 'refused' });
    await scene.attached({ nkey: seed });
  });

  it('names what a user must be allowed to do', async () => {
    const server = await scene.start(
      'authorization { users: [{ user: all, password: a }, { user: weir, password: w, permissions: ' +
        '{ publish: ["$JS.API.CONSUMER.>"], subscribe: ["_INBOX.>"] } }] }',
    );
    await server.use((manager) => manager.streams.add(stream), { user: 'all', pass: 'a' });
    const failure = await failureOf(feedOf({ servers: server.url, username: 'weir', password: 'w' }));
    expect(failure).toMatchObject({ kind: 'refused', retry: 'slowly' });
    expect(failure.message).toContain('$JS.API.STREAM.INFO.CHANGES');
  });

  it('is content with the permissions that the documentation names', async () => {
    const server = await scene.start(
      'authorization { users: [{ user: all, password: a }, { user: weir, password: w, permissions: { publish: [' +
        '"$JS.API.STREAM.INFO.CHANGES", "$JS.API.STREAM.MSG.GET.CHANGES", "$JS.API.CONSUMER.CREATE.CHANGES", ' +
        '"$JS.API.CONSUMER.CREATE.CHANGES.>", "$JS.API.CONSUMER.MSG.NEXT.CHANGES.>"], subscribe: ["_INBOX.>"] } }] }',
    );
    const all = { user: 'all', pass: 'a' };
    await server.use((manager) => manager.streams.add(stream), all);
    const reader = await scene.attached({ username: 'weir', password: 'w' });
    await server.use((_manager, client) => client.publish('changes', '{"id":"1"}'), all);
    await reader.until((events) => idsOf(events).includes('1'));
    await server.use(async (manager, client) => {
      const { seq } = await client.publish('changes', '{"id":"2"}');
      await manager.streams.deleteMessage('CHANGES', seq);
    }, all);
    await reader.until((events) => events.at(-1)?.kind === 'head');
  });

  it('says that the stream is not there', async () => {
    const server = await scene.start();
    const failure = await failureOf(feedOf({ servers: server.url, stream: 'OTHER' }));
    expect(failure).toMatchObject({ kind: 'missing', retry: 'slowly' });
    expect(failure.message).toContain('there is no stream OTHER');
  });

  it('says that there is no JetStream', async () => {
    const server = await scene.startWithStream();
    const failure = await failureOf(feedOf({ servers: server.url, domain: 'elsewhere' }));
    expect(failure).toMatchObject({ kind: 'missing', retry: 'slowly' });
    expect(failure.message).toContain('JetStream is not enabled');
  });

  it('says that the server is down, and tries again soon', async () => {
    const server = await scene.start();
    await server.end();
    const failure = await failureOf(feedOf({ servers: server.url }));
    expect(failure).toMatchObject({ kind: 'unreachable', retry: 'soon' });
    expect(failure.message).toContain('connection refused');
  });

  it('takes the server that is up where another is down', async () => {
    const server = await scene.startWithStream();
    const closed = await freePort();
    await scene.attached({ servers: [`nats://127.0.0.1:${closed}`, server.url] });
  });

  it('fails when the server dies while it waits', async () => {
    const server = await scene.startWithStream();
    const reader = await scene.attached();
    await server.end();
    await reader.ended;
    expect(reader.events.at(-1)).toMatchObject({
      kind: 'failed',
      failure: { kind: 'unreachable', retry: 'soon' },
    });
  });

  it('does not take a copy of another stream, whose head is not the head', async () => {
    const server = await scene.startWithStream();
    await server.use(async (manager) => {
      await manager.streams.add({ name: 'MIRROR', mirror: { name: 'CHANGES' } });
      await manager.streams.add({ name: 'SOURCED', sources: [{ name: 'CHANGES' }] });
    });
    for (const copy of ['MIRROR', 'SOURCED']) {
      const failure = await failureOf(feedOf({ servers: server.url, stream: copy }));
      expect(failure).toMatchObject({ kind: 'protocol', retry: 'slowly' });
      expect(failure.message).toContain('copies others');
    }
  });

  it('does not take a work queue, which others empty', async () => {
    const server = await scene.startWithStream({ retention: RetentionPolicy.Workqueue });
    const failure = await failureOf(feedOf({ servers: server.url }));
    expect(failure).toMatchObject({ kind: 'protocol', retry: 'slowly' });
    expect(failure.message).toContain('is a work queue');
  });

  it('leaves no connection behind when it has failed or was stopped', async () => {
    const server = await scene.startWithStream();
    const proxy = await TcpProxy.start(server.port);
    const servers = `nats://127.0.0.1:${proxy.port}`;
    await failureOf(feedOf({ servers, stream: 'OTHER' }));
    await (await scene.attached({ servers })).stop();
    const early = scene.read(null, { servers });
    await until(() => proxy.clients === 1);
    await early.stop();
    await until(() => proxy.clients === 0);
    await proxy.stop();
  });

  it('says which package is missing', async () => {
    const failure = await failureOf(feedOf({ servers: 'nats://127.0.0.1:1' }, 'json', depsWithoutLibraries));
    expect(failure).toMatchObject({ kind: 'library', message: 'npm install @nats-io/transport-node' });
  });
});

suite('nats over TLS', () => {
  const scene = new Scene();
  afterEach(() => scene.stop());

  it('trusts the authority that it was given, and nobody else', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'weir-tls-'));
    const [ca, key] = [join(folder, 'ca.pem'), join(folder, 'key.pem')];
    await writeFile(ca, tlsCertificate);
    await writeFile(key, tlsKey);
    const server = await scene.start(`tls { cert_file: "${ca}", key_file: "${key}" }`);
    const tls = { ca: tlsCertificate, servername: tlsName };
    await server.use((manager) => manager.streams.add(stream), { tls });
    await scene.attached({ tls: { ca, 'server-name': tlsName } });
    await scene.attached({
      servers: server.url.replace('nats:', 'tls:'),
      tls: { ca, 'server-name': tlsName },
    });
    const untrusted = await failureOf(feedOf({ servers: server.url }));
    expect(untrusted).toMatchObject({ kind: 'refused', retry: 'slowly' });
    const misnamed = await failureOf(
      feedOf({ servers: server.url, tls: { ca, 'server-name': 'other.example' } }),
    );
    expect(misnamed).toMatchObject({ kind: 'refused', retry: 'slowly' });
    await rm(folder, { recursive: true });
  });

  it('does not go on without TLS where it is a must', async () => {
    const server = await scene.startWithStream();
    const failure = await failureOf(feedOf({ servers: server.url.replace('nats:', 'tls:') }));
    expect(failure).toMatchObject({ kind: 'protocol', retry: 'slowly' });
    expect(failure.message).toContain('tls');
  });
});

describe('nats: its options', () => {
  const { schema } = natsFeed;

  it.each([
    { servers: 'nats://localhost' },
    { servers: ['tls://a.example:4222', 'nats://[::1]:4222'], subjects: ['a.*.b', 'c.>', '>'] },
  ])('take %o', (options) => {
    expect(schema.safeParse({ stream: 'S', ...options }).success).toBe(true);
  });

  it.each([
    { servers: 'localhost:4222' },
    { servers: 'nats://user:pass@localhost' },
    { servers: [] },
    { servers: 'nats://h', stream: 'a.b' },
    { servers: 'nats://h', subjects: ['a.>.b'] },
    { servers: 'nats://h', subjects: ['a..b'] },
    { servers: 'nats://h', durable: 'd' },
  ])('do not take %o', (options) => {
    expect(schema.safeParse({ stream: 'S', ...options }).success).toBe(false);
  });
});

function kindsOf(events: readonly FeedEvent[]): string[] {
  return events.map(({ kind }) => kind).filter((kind) => kind !== 'behind');
}

function feedOf(
  options: Readonly<Record<string, unknown>>,
  format: 'json' | 'cloudevents' = 'json',
  deps = testFeedDeps,
): Feed {
  return natsFeed.create(
    {
      name: 'feed',
      type: 'nats',
      format,
      maxSilenceMs: contractMaxSilenceMs,
      readLagMs: 0,
      map: [],
      options: natsFeed.schema.parse({ stream: 'CHANGES', ...options }),
    },
    deps,
  );
}
