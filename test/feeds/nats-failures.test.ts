import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RetentionPolicy } from '@nats-io/jetstream';
import { nkeyAuthenticator, nkeys } from '@nats-io/transport-node';
import { afterEach, describe, expect, it } from 'vitest';
import { natsFeed } from '../../origin-adapters/feeds/nats.ts';
import { idsOf } from '../contracts/feed-contract.ts';
import { until } from '../support/barrier.ts';
import { freePort } from '../support/free-port.ts';
import { SilentServer } from '../support/silent-server.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { tlsCertificate, tlsKey, tlsName } from '../support/tls-identity.ts';
import { depsWithoutLibraries, failureOf } from './feed-failure.ts';
import { feedOf, Scene, stream, suite } from './nats-scene.ts';

suite('nats: failures', () => {
  const scene = new Scene();
  afterEach(() => scene.stop());

  it('reports that credentials are wrong or missing, without showing them', async () => {
    const server = await scene.start('authorization { user: weir, password: right }');
    await server.atStreams((manager) => manager.streams.add(stream), { user: 'weir', pass: 'right' });
    const wrong = await failureOf(
      feedOf({ servers: server.url, username: 'weir', password: 'wrong-secret' }),
    );
    expect(wrong).toMatchObject({ kind: 'refused', retry: 'slowly' });
    expect(wrong.message).not.toContain('wrong-secret');
    expect(await failureOf(feedOf({ servers: server.url }))).toMatchObject({ kind: 'refused' });
    await scene.attached({ username: 'weir', password: 'right' });
  });

  it('authenticates with a token', async () => {
    const server = await scene.start('authorization { token: right }');
    await server.atStreams((manager) => manager.streams.add(stream), { token: 'right' });
    expect(await failureOf(feedOf({ servers: server.url, token: 'wrong' }))).toMatchObject({
      kind: 'refused',
    });
    await scene.attached({ token: 'right' });
  });

  it('authenticates with an nkey', async () => {
    const key = nkeys.createUser();
    const seed = new TextDecoder().decode(key.getSeed());
    const server = await scene.start(`authorization { users: [{ nkey: ${key.getPublicKey()} }] }`);
    const authenticator = nkeyAuthenticator(key.getSeed());
    await server.atStreams((manager) => manager.streams.add(stream), { authenticator });
    const other = new TextDecoder().decode(nkeys.createUser().getSeed());
    expect(await failureOf(feedOf({ servers: server.url, nkey: other }))).toMatchObject({ kind: 'refused' });
    expect(await failureOf(feedOf({ servers: server.url, nkey: 'none' }))).toMatchObject({ kind: 'refused' });
    await scene.attached({ nkey: seed });
  });

  it('names the missing permission', async () => {
    const server = await scene.start(
      'authorization { users: [{ user: all, password: a }, { user: weir, password: w, permissions: ' +
        '{ publish: ["$JS.API.CONSUMER.>"], subscribe: ["_INBOX.>"] } }] }',
    );
    await server.atStreams((manager) => manager.streams.add(stream), { user: 'all', pass: 'a' });
    const failure = await failureOf(feedOf({ servers: server.url, username: 'weir', password: 'w' }));
    expect(failure).toMatchObject({ kind: 'refused', retry: 'slowly' });
    expect(failure.message).toContain('$JS.API.STREAM.INFO.CHANGES');
  });

  it('works with the permissions that the documentation names', async () => {
    const server = await scene.start(
      'authorization { users: [{ user: all, password: a }, { user: weir, password: w, permissions: { publish: [' +
        '"$JS.API.STREAM.INFO.CHANGES", "$JS.API.STREAM.MSG.GET.CHANGES", "$JS.API.CONSUMER.CREATE.CHANGES", ' +
        '"$JS.API.CONSUMER.CREATE.CHANGES.>", "$JS.API.CONSUMER.MSG.NEXT.CHANGES.>"], subscribe: ["_INBOX.>"] } }] }',
    );
    const all = { user: 'all', pass: 'a' };
    await server.atStreams((manager) => manager.streams.add(stream), all);
    const reader = await scene.attached({ username: 'weir', password: 'w' });
    await server.atStreams((_manager, client) => client.publish('changes', '{"id":"1"}'), all);
    await reader.until((events) => idsOf(events).includes('1'));
    await server.atStreams(async (manager, client) => {
      const { seq } = await client.publish('changes', '{"id":"2"}');
      await manager.streams.deleteMessage('CHANGES', seq);
    }, all);
    await reader.until((events) => events.at(-1)?.kind === 'head');
  });

  it('reports that the stream does not exist', async () => {
    const server = await scene.start();
    const failure = await failureOf(feedOf({ servers: server.url, stream: 'OTHER' }));
    expect(failure).toMatchObject({ kind: 'missing', retry: 'slowly' });
    expect(failure.message).toContain('there is no stream OTHER');
  });

  it('reports that JetStream is not enabled', async () => {
    const server = await scene.startWithStream();
    const failure = await failureOf(feedOf({ servers: server.url, domain: 'elsewhere' }));
    expect(failure).toMatchObject({ kind: 'missing', retry: 'slowly' });
    expect(failure.message).toContain('JetStream is not enabled');
  });

  it('reports that the server is down, and tries again soon', async () => {
    const server = await scene.start();
    await server.end();
    const failure = await failureOf(feedOf({ servers: server.url }));
    expect(failure).toMatchObject({ kind: 'unreachable', retry: 'soon' });
    expect(failure.message).toContain('connection refused');
  });

  it('uses the server that is up where another is down', async () => {
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

  it('refuses a mirror, whose head is not that of the stream', async () => {
    const server = await scene.startWithStream();
    await server.atStreams(async (manager) => {
      await manager.streams.add({ name: 'MIRROR', mirror: { name: 'CHANGES' } });
      await manager.streams.add({ name: 'SOURCED', sources: [{ name: 'CHANGES' }] });
    });
    for (const copy of ['MIRROR', 'SOURCED']) {
      const failure = await failureOf(feedOf({ servers: server.url, stream: copy }));
      expect(failure).toMatchObject({ kind: 'protocol', retry: 'slowly' });
      expect(failure.message).toContain('copies other streams');
    }
  });

  it('refuses a work queue, which other consumers empty', async () => {
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

  it('leaves no connection to a server that accepts it and sends nothing', async () => {
    await scene.start();
    const silent = await SilentServer.start();
    const servers = `nats://127.0.0.1:${silent.port}`;
    expect(await failureOf(feedOf({ servers }))).toMatchObject({ kind: 'unreachable', retry: 'soon' });
    await until(() => silent.clients === 0, 'closed once it has given up');
    const reader = scene.read(null, { servers });
    await until(() => silent.clients === 1, 'connected');
    await reader.stop();
    await until(() => silent.clients === 0, 'closed once it was stopped');
    await silent.stop();
  });

  it('leaves no connection to a server that has fallen silent', async () => {
    const server = await scene.startWithStream();
    const proxy = await TcpProxy.start(server.port);
    const servers = `nats://127.0.0.1:${proxy.port}`;
    const reader = await scene.attached({ servers });
    server.pause();
    await reader.stop();
    await until(() => proxy.clients === 0, 'closed');
    const early = scene.read(null, { servers });
    await until(() => proxy.clients === 1, 'connected');
    await early.stop();
    await until(() => proxy.clients === 0, 'closed');
    await proxy.stop();
  });

  it('names the missing package', async () => {
    const failure = await failureOf(feedOf({ servers: 'nats://127.0.0.1:1' }, 'json', depsWithoutLibraries));
    expect(failure).toMatchObject({ kind: 'library', message: 'npm install @nats-io/transport-node' });
  });
});

suite('nats over TLS', () => {
  const scene = new Scene();
  afterEach(() => scene.stop());

  it('trusts only the configured authority', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'weir-tls-'));
    const [ca, key] = [join(folder, 'ca.pem'), join(folder, 'key.pem')];
    await writeFile(ca, tlsCertificate);
    await writeFile(key, tlsKey);
    const server = await scene.start(`tls { cert_file: "${ca}", key_file: "${key}" }`);
    const tls = { ca: tlsCertificate, servername: tlsName };
    await server.atStreams((manager) => manager.streams.add(stream), { tls });
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

  it('does not connect without TLS where it is required', async () => {
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
