/** Tests SIGHUP: another configuration comes into force, and no running request and no entry is lost. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Agent } from 'node:http';
import { gate, until } from '../support/barrier.ts';
import { startScriptedOrigin, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { ask, cacheStatusOf } from './client.ts';

let origin: ScriptedOrigin;
let other: ScriptedOrigin;
let weir: RunningWeir;

interface Site {
  readonly url?: string;
  readonly routes?: readonly string[];
  readonly feeds?: readonly string[];
  readonly listen?: string;
}

function site({
  url = origin.url,
  routes = [],
  feeds = [],
  listen = 'port: 0, workers: 2',
}: Site = {}): string {
  const lines = [
    `listen: { ${listen} }`,
    'cache: { memory: 16MiB, disk: { path: ./data, size: 16MiB } }',
    `origins: { app: { url: "${url}" } }`,
    ...(feeds.length === 0 ? [] : ['feeds:', ...feeds.map((feed) => `  ${feed}`)]),
    'routes:',
    ...routes.map((route) => `  - ${route}`),
    '  - { name: all, match: /* }',
  ];
  return lines.join('\n');
}

beforeEach(async () => {
  [origin, other] = await Promise.all([startScriptedOrigin(), startScriptedOrigin()]);
  weir = await startWeir(site());
});

afterEach(async () => {
  await weir.stop();
  await Promise.all([origin.close(), other.close()]);
});

describe('a reload', () => {
  it('adds routes and origins, and keeps connections, running requests and entries', async () => {
    const held = gate();
    origin.on('/held', async (_request, answer) => {
      await held.promise;
      answer.send(200, ['Cache-Control', 'no-store'], 'from the old origin');
    });
    for (const each of [origin, other]) {
      each.on('/page', { fields: ['Cache-Control', 'max-age=60'], body: each.url });
      each.on('/none/a', { fields: ['Cache-Control', 'max-age=60'], body: 'x' });
    }
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const get = (path: string) => ask(`${weir.url}${path}`, { agent });
    expect(cacheStatusOf(await get('/none/a'))).toMatchObject({ stored: true });
    await get('/page');
    const asked = ask(`${weir.url}/held`);
    await origin.seen('/held');

    await weir.reload(site({ routes: ['{ name: none, match: /none/*, cache: { freshness: none } }'] }));
    expect(weir.events('reloaded')).toHaveLength(1);
    expect(cacheStatusOf(await get('/none/a'))).toMatchObject({ fwd: 'bypass' });
    expect(cacheStatusOf(await get('/page'))).toMatchObject({ hit: true });

    await weir.reload(site({ url: other.url }));
    // The answer is not from the other origin.
    expect((await get('/page')).body).toBe(other.url);
    held.open();
    expect(await asked).toMatchObject({ status: 200, body: 'from the old origin' });

    await weir.reload(site());
    const back = await get('/page');
    expect(back.body).toBe(origin.url);
    expect(cacheStatusOf(back)).toMatchObject({ hit: true });
    expect(Object.values(agent.freeSockets).flat()).toHaveLength(1);
    await expect.poll(async () => (await weir.stats())['connections']).toBe(1);
    agent.destroy();
  });

  it('revalidates what was stored under a route that has changed', async () => {
    origin.on('/page', ({ headers }, answer) => {
      if (headers['if-none-match'] === '"1"')
        answer.send(304, ['ETag', '"1"', 'Cache-Control', 'max-age=60']);
      else answer.send(200, ['ETag', '"1"', 'Cache-Control', 'max-age=60'], 'page');
    });
    await weir.reload(
      site({ routes: ['{ name: page, match: /page, cache: { freshness: fixed, ttl: 1h } }'] }),
    );
    await ask(`${weir.url}/page`);
    expect(cacheStatusOf(await ask(`${weir.url}/page`))).toMatchObject({ hit: true });
    await weir.reload(
      site({ routes: ['{ name: page, match: /page, cache: { freshness: fixed, ttl: 2h } }'] }),
    );
    expect(weir.events('reloaded').at(-1)).toMatchObject({ invalidatedRoutes: ['page'] });
    const after = await ask(`${weir.url}/page`);
    expect(after.body).toBe('page');
    expect(cacheStatusOf(after)).toMatchObject({ fwd: 'stale', 'fwd-status': '304' });
  });

  it('restores a route without what was invalidated while it was removed', async () => {
    let value = 'old';
    origin.on('*', () => ({ fields: ['Cache-Control', 'max-age=60'], body: value }));
    const routes = ['{ name: page, match: /page, cache: { key: { query: { only: [id] } } } }'];
    await weir.reload(site({ routes }));
    await ask(`${weir.url}/page?id=1&from=mail`);
    await weir.reload(site());
    value = 'new';
    const body = JSON.stringify({ urls: ['/page?id=1&from=mail'] });
    expect((await weir.admin('/purge', { method: 'POST', body })).status).toBe(200);
    await weir.reload(site({ routes }));
    expect((await ask(`${weir.url}/page?id=1&from=mail`)).body).toBe('new');
  });

  it('is rejected where the file is wrong: every error is logged with its place, and the old configuration remains', async () => {
    origin.on('/page', { fields: ['Cache-Control', 'max-age=60'], body: 'page' });
    await weir.reload(
      site({ routes: ['{ name: bad, match: /bad, cach: {} }', '{ name: worse, match: nowhere }'] }),
    );
    const [refused] = weir.events('reload-refused') as { errors: string[] }[];
    expect(refused?.errors).toHaveLength(2);
    for (const error of refused!.errors) expect(error).toMatch(/weir\.yaml:\d+:\d+ routes\[\d\]/);
    const words = 'weir: the configuration was not reloaded; the old one stays in force';
    expect(weir.lines.slice(weir.lines.indexOf(refused!.errors[0]!))).toEqual(
      expect.arrayContaining([...refused!.errors, words]),
    );
    expect((await ask(`${weir.url}/page`)).status).toBe(200);
    expect(weir.events('reloaded')).toHaveLength(0);
  });

  it("names what can't change while Weir runs, and changes nothing then", async () => {
    await weir.reload(
      site({
        listen: 'port: 0, workers: 1',
        routes: ['{ name: none, match: /none/*, cache: { freshness: none } }'],
      }),
    );
    const [refused] = weir.events('reload-refused') as { errors: string[] }[];
    expect(refused?.errors).toEqual(["listen.workers can't change while Weir runs: restart Weir"]);
    origin.on('/none/a', { fields: ['Cache-Control', 'max-age=60'], body: 'x' });
    expect(cacheStatusOf(await ask(`${weir.url}/none/a`))).toMatchObject({ fwd: 'uri-miss' });
  });

  it('starts and ends feeds, and continues those that are unchanged', async () => {
    const open = new Set<string>();
    const opened: string[] = [];
    origin.on('/changes/*', async ({ url }, answer) => {
      opened.push(url);
      open.add(url);
      answer.head(200, ['Content-Type', 'text/event-stream']);
      await answer.write(': here\n\n');
      await answer.gone;
      open.delete(url);
    });
    const feed = (name: string): string =>
      `${name}: { type: sse, url: "${origin.url}/changes/${name}", map: [{ invalidate: { tags: [x] } }] }`;
    await weir.reload(site({ feeds: [feed('a'), feed('b')] }));
    await until(() => open.size === 2, 'both feeds are followed');
    await weir.reload(site({ feeds: [feed('b'), feed('c')] }));
    await until(
      () => open.has('/changes/c') && !open.has('/changes/a'),
      'one feed has ended and one has started',
    );
    expect(opened.toSorted()).toEqual(['/changes/a', '/changes/b', '/changes/c']);
    const { feeds } = (await (await weir.admin('/feeds')).json()) as { feeds: { id: string }[] };
    expect(feeds.map(({ id }) => id)).toEqual(['b', 'c']);
    await weir.reload(site());
    await until(() => open.size === 0, 'no feed is followed');
    expect(await weir.stop()).toBe(0);
    expect(weir.lines.filter((line) => line.includes('"level":"error"'))).toEqual([]);
  });

  it('follows another reload at the same time: the last one is in force', async () => {
    for (let i = 0; i < 5; i += 1) weir.signal('SIGHUP');
    await weir.reload(site({ routes: ['{ name: none, match: /none/*, cache: { freshness: none } }'] }));
    origin.on('/none/a', { fields: ['Cache-Control', 'max-age=60'], body: 'x' });
    let status;
    do status = cacheStatusOf(await ask(`${weir.url}/none/a`));
    while (status['fwd'] !== 'bypass');
    expect(weir.events('reload-failed')).toEqual([]);
  });
});
