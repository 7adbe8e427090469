import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { redisStreamFeed } from '../../origin-adapters/feeds/redis-stream.ts';
import { idsOf } from '../contracts/feed-contract.ts';
import { freePort } from '../support/free-port.ts';
import { tlsCertificate, tlsKey, tlsName } from '../support/tls-identity.ts';
import { depsWithoutLibraries, failureOf } from './feed-failure.ts';
import { feedOf, Scene, suite, xadd } from './redis-stream-scene.ts';

suite('redis-stream: failures', () => {
  const scene = new Scene();
  afterEach(() => scene.stop());

  it('reports that credentials are wrong or missing, without showing them', async () => {
    const server = await scene.start(['--requirepass', 'right']);
    const wrong = await failureOf(feedOf({ url: server.url, password: 'wrong-secret' }));
    expect(wrong).toMatchObject({ kind: 'refused', retry: 'slowly' });
    expect(wrong.message).toContain('correct username and password');
    expect(wrong.message).not.toContain('wrong-secret');
    expect(await failureOf(feedOf({ url: server.url }))).toMatchObject({ kind: 'refused', retry: 'slowly' });
    await scene.attached({ url: server.url.replace('//', '//:right@') });
  });

  it('names the missing permission', async () => {
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

  it('reports that the stream does not exist', async () => {
    const server = await scene.start();
    const failure = await failureOf(feedOf({ url: server.url, stream: 'other' }));
    expect(failure).toMatchObject({ kind: 'missing', retry: 'slowly' });
    expect(failure.message).toContain('there is no stream other');
  });

  it('reports that the key is not a stream', async () => {
    const server = await scene.start();
    await server.run(['SET', 'other', 'text']);
    const failure = await failureOf(feedOf({ url: server.url, stream: 'other' }));
    expect(failure).toMatchObject({ kind: 'missing', retry: 'slowly' });
    expect(failure.message).toContain('the key other is not a stream');
  });

  it('reports that the database does not exist', async () => {
    const server = await scene.start();
    expect(await failureOf(feedOf({ url: `${server.url}/99` }))).toMatchObject({ kind: 'missing' });
  });

  it('reports that the server is down, and tries again soon', async () => {
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

  it('refuses a replica, whose head is not that of the stream', async () => {
    const server = await scene.start();
    const replica = await scene.startReplica(new URL(server.url).port);
    const failure = await failureOf(feedOf({ url: replica.url }));
    expect(failure).toMatchObject({ kind: 'protocol', retry: 'slowly' });
    expect(failure.message).toContain('set url to its master');
  });

  it('leaves no connection behind when it has failed or was stopped', async () => {
    const server = await scene.start();
    await failureOf(feedOf({ url: server.url, stream: 'other' }));
    const replica = await scene.startReplica('1');
    await failureOf(feedOf({ url: replica.url }));
    await (await scene.attached()).stop();
    for (const one of [server, replica]) {
      let [clients] = await one.run(['CLIENT', 'LIST', 'TYPE', 'NORMAL']);
      while (String(clients).trim().split('\n').length > 1) {
        [clients] = await one.run(['CLIENT', 'LIST', 'TYPE', 'NORMAL']);
      }
    }
  });

  it('names the missing package', async () => {
    const failure = await failureOf(feedOf({ url: 'redis://127.0.0.1:1' }, 'json', depsWithoutLibraries));
    expect(failure).toMatchObject({ kind: 'library', message: 'npm install redis' });
  });
});

suite('redis-stream over TLS', () => {
  const scene = new Scene();
  afterEach(() => scene.stop());

  it('trusts only the configured authority', async () => {
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

  it('refuse a certificate without its key, and unknown keys', () => {
    const base = { url: 'rediss://h', stream: 's' };
    expect(schema.safeParse({ ...base, tls: { cert: 'c.pem' } }).success).toBe(false);
    expect(schema.safeParse({ ...base, group: 'g' }).success).toBe(false);
  });
});
