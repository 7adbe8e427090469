/** Tests over the wire that what is not in the key does not affect what is stored. */
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startScriptedOrigin, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { ask, cacheStatusOf } from './client.ts';

let origin: ScriptedOrigin;
let weir: RunningWeir;
let keeping: RunningWeir;

beforeAll(async () => {
  origin = await startScriptedOrigin();
  [weir, keeping] = await Promise.all([
    start('underscores: drop'),
    start('underscores: keep, ambiguous-paths: pass', 'cache-status: { key: true }'),
  ]);
});

const start = (listen: string, more = '') =>
  startWeir(`
    listen: { port: 0, workers: 1, ${listen} }
    log: { level: trace, access: true }
    ${more}
    cache: { memory: 16MiB, disk: { path: ./data, size: 0 } }
    origins: { app: { url: "${origin.url}" } }
    routes:
      - { name: keyed, match: /keyed/*, cache: { key: { headers: [x-tenant] } } }
      - { name: cookies, match: /cookies/*, cache: { key: { cookies: [tenant] } } }
      - { name: members, match: /members/*, cache: { bypass: { cookies: [session], headers: [x-user] } } }
      - { name: written, match: /written/*, write: { policy: through, update: true } }
      - { name: all, match: /* }
  `);

afterAll(async () => {
  await Promise.all([weir?.stop(), keeping?.stop()]);
  await origin.close();
});

const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  ask(`${weir.url}${path}`, { headers, method });

describe('a field that Connection removes for the origin', () => {
  it.each([
    ['in the key', '/keyed/a', []],
    ['in Vary', '/varied', ['Vary', 'X-Tenant']],
  ])('prevents storing under its value: %s', async (_, path, vary) => {
    origin.on(path, ({ headers }) => ({
      fields: ['Cache-Control', 'max-age=60', ...vary],
      body: String(headers['x-tenant']),
    }));
    const alone = await get(path, { 'X-Tenant': 'one', Connection: 'close, X-Tenant' });
    expect(alone.body).toBe('undefined');
    expect(cacheStatusOf(alone)).toMatchObject({ fwd: 'bypass', detail: 'connection' });
    expect((await get(path, { 'X-Tenant': 'one' })).body).toBe('one');
  });

  it('has no effect where it is absent, or only for this hop', async () => {
    origin.on('/hop', { fields: ['Cache-Control', 'max-age=60'], body: 'x' });
    await get('/hop');
    const again = await get('/hop', { Connection: 'TE, X-Tenant, close', TE: 'trailers' });
    expect(cacheStatusOf(again)).toMatchObject({ hit: true });
  });
});

describe('the answer to a HEAD', () => {
  it('changes no entry where the request had a field that is not in the key', async () => {
    origin.on('/page', ({ headers }) => ({
      fields: [
        'ETag',
        '"1"',
        'Cache-Control',
        'max-age=0',
        'X-Page',
        headers['x-original-url'] ?? '/page',
      ].map(String),
      body: 'x',
    }));
    const confirmed = () => get('/page').then(({ headers }) => headers['x-page']);
    await confirmed();
    origin.on('GET /page', (_, answer) => answer.send(304, ['ETag', '"1"']));
    await get('/page', { 'X-Original-URL': '/admin' }, 'HEAD');
    expect(await confirmed()).toBe('/page');
    await get('/page', {}, 'HEAD');
    expect(await confirmed()).toBe('/page');
  });
});

describe('the content of a PUT', () => {
  it.each([
    ['X-Original-URL', { 'X-Original-URL': '/mine' }],
    ['Connection', { Connection: 'close, X-Part', 'X-Part': '1' }],
  ])('becomes no entry where the origin may have read another request: %s', async (name, headers) => {
    const path = `/written/${name}`;
    const fresh = ['ETag', '"1"', 'Cache-Control', 'max-age=60'];
    origin.on(`PUT ${path}`, { status: 204, fields: fresh });
    origin.on(`GET ${path}`, { fields: fresh, body: "the origin's" });
    await ask(`${weir.url}${path}`, { method: 'PUT', headers, body: 'sent' });
    expect((await get(path)).body).toBe("the origin's");
  });
});

/** The fields of a request by the names of their CGI variables. */
const variablesOf = (fields: readonly string[]) =>
  new Map(
    fields.flatMap((name, i): [string, string][] =>
      i % 2 === 0 ? [[name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_'), fields[i + 1]!]] : [],
    ),
  );

describe('a field that an origin reads as another one', () => {
  it.each(['GET', 'POST', 'HEAD', 'PUT'])('does not reach it in another spelling (%s)', async (method) => {
    for (const server of [weir, keeping]) {
      for (const spelling of ['_', '.']) {
        const path = `/spelled/${method}/${spelling}/${server.port}`;
        origin.on(path, { fields: ['Cache-Control', 'max-age=60'], body: 'x' });
        const names = [
          'X-Forwarded-Host',
          'X-Original-URL',
          'X-Forwarded-For',
          'Transfer-Encoding',
          'X-Real-IP',
        ];
        const headers = Object.fromEntries(names.map((name) => [name.replaceAll('-', spelling), 'evil']));
        await ask(`${server.url}${path}`, { headers, method });
        const seen = variablesOf(origin.requests.at(-1)!.fields);
        expect([...seen.values()].filter((value) => value.includes('evil'))).toEqual([]);
      }
    }
  });

  it('reaches it, and is in the key and in Vary, where such fields are kept', async () => {
    origin.on('*', ({ fields }) => ({
      fields: ['Cache-Control', 'max-age=60', 'Vary', 'X-Tenant'],
      body: String(variablesOf(fields).get('X_TENANT')),
    }));
    for (const path of ['/keyed/spelled', '/spelled']) {
      const bodies = [];
      for (const name of ['X_Tenant', 'X-Tenant', 'X_Tenant', 'X.Tenant']) {
        bodies.push((await ask(`${keeping.url}${path}`, { headers: { [name]: name } })).body);
      }
      expect(bodies).toEqual(['X_Tenant', 'X-Tenant', 'X_Tenant', 'X.Tenant']);
      expect((await ask(`${weir.url}${path}`, { headers: { X_Tenant: 'evil' } })).body).toBe('undefined');
    }
  });

  it('is counted', async () => {
    const count = async () => {
      const text = await (await weir.admin('/metrics')).text();
      return Number(/^weir_request_fields_dropped_total (\d+)$/m.exec(text)?.[1]);
    };
    const before = await count();
    await get('/counted', { X_One: '1', 'X.Two': '2', 'X-Three': '3' });
    expect(await count()).toBe(before + 2);
  });

  it('RFC 9110 §6.5: does not reach it as a trailer', async () => {
    origin.on('/trailing', async ({ received, node }) => {
      await received;
      return { body: JSON.stringify(node.rawTrailers) };
    });
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(weir.port, '127.0.0.1');
      let text = '';
      socket.on('data', (chunk) => (text += String(chunk))).on('close', () => resolve(text));
      const fields =
        'Host: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Forwarded-Host';
      socket.write(
        `POST /trailing HTTP/1.1\r\n${fields}\r\n\r\n1\r\nx\r\n0\r\nX-Forwarded-Host: evil\r\n\r\n`,
      );
    });
    expect(answer).toMatch(/\r\n\r\n.*\[\]/s);
  });
});

describe('a path in which the origin may find a dot segment', () => {
  it.each(['GET', 'HEAD', 'PUT'])('is rejected (%s)', async (method) => {
    for (const path of ['/keyed/..%2faccount', '/keyed/..;/account', '/keyed/%252e%252e/account']) {
      const refused = await get(path, {}, method);
      expect(refused.status).toBe(400);
      expect(refused.headers['cache-status']).toBe('weir; detail=ambiguous-path');
      expect(origin.count(path)).toBe(0);
    }
  });

  it('is passed on and not stored where the configuration allows such paths', async () => {
    origin.on('*', { fields: ['Cache-Control', 'max-age=60'], body: 'x' });
    for (let i = 0; i < 2; i += 1) {
      const passed = await ask(`${keeping.url}/keyed/..%2faccount`);
      expect(cacheStatusOf(passed)).toMatchObject({ fwd: 'bypass', detail: 'ambiguous-path' });
    }
    expect(origin.requests.at(-1)!.url).toBe('/keyed/..%2Faccount');
  });
});

describe('a cookie in the key', () => {
  it('is passed on and not stored where origins may read it differently', async () => {
    origin.on('/cookies/a', ({ headers }) => ({
      fields: ['Cache-Control', 'max-age=60'],
      body: headers.cookie ?? '',
    }));
    for (const cookie of [
      'x="; tenant=v; "',
      'a=b, tenant=v',
      'tenant=v; Tenant=evil',
      '$Version=1; tenant=v',
    ]) {
      const passed = await get('/cookies/a', { Cookie: cookie });
      expect(cacheStatusOf(passed)).toMatchObject({ fwd: 'bypass', detail: 'ambiguous-cookies' });
      expect(passed.body).toBe(cookie);
    }
    expect(cacheStatusOf(await get('/cookies/a', { Cookie: 'tenant=v' }))).toMatchObject({ stored: true });
    expect(cacheStatusOf(await get('/cookies/a', { Cookie: 'tenant=v; x=1' }))).toMatchObject({ hit: true });
  });

  it('is read by the origin as by the key where it was sent in several fields', async () => {
    origin.on('/cookies/several', ({ fields }) => ({
      fields: ['Cache-Control', 'max-age=60'],
      body: fields.filter((_, i) => /^cookie$/i.test(fields[i - 1] ?? '')).join('|'),
    }));
    const headers = { Cookie: ['a=1', 'tenant=v'] };
    expect((await ask(`${weir.url}/cookies/several`, { headers })).body).toBe('a=1; tenant=v');
    const again = await get('/cookies/several', { Cookie: 'tenant=v' });
    expect(cacheStatusOf(again)).toMatchObject({ hit: true });
  });
});

describe('secrets in the key', () => {
  it.each([
    ['unless that is requested', () => weir],
    ['even where the key is shown', () => keeping],
  ])('are in no answer, log line, metric or list of entries %s', async (_, server) => {
    const fields = ['Cache-Control', 'max-age=60', 'Vary', 'Cookie, Authorization, X-Tenant'];
    origin.on('/keyed/secret', { fields, body: 'x' });
    origin.on('/cookies/secret', { fields, body: 'x' });
    const shown: string[] = [];
    const show = (text: string) => void shown.push(text);
    for (const path of ['/keyed/secret', '/cookies/secret']) {
      const headers = { Cookie: 'tenant=s3cret', 'X-Tenant': 's3cret' };
      for (const asked of [headers, headers, { ...headers, 'Cache-Control': 'only-if-cached' }]) {
        const answer = await ask(`${server().url}${path}`, { headers: asked });
        const { key } = cacheStatusOf(answer);
        expect(key === undefined).toBe(server() === weir);
        show(JSON.stringify(answer));
      }
      const query = new URLSearchParams({ url: path });
      for (const [name, value] of Object.entries(headers)) query.append('header', `${name}: ${value}`);
      const report = await (await server().admin(`/entries?${query.toString()}`)).text();
      expect(JSON.parse(report)).toMatchObject({ entries: [{ status: 200 }] });
      show(report);
    }
    for (const path of ['/metrics', '/stats', '/healthz']) show(await (await server().admin(path)).text());
    expect([...shown, ...server().lines].filter((text) => text.includes('s3cret'))).toEqual([]);
  });
});

describe('a request that bypasses the cache', () => {
  it.each([
    ['a cookie', { Cookie: 'a=1; session=x' }, 'bypass-cookie'],
    ['a field', { 'X-User': 'alice' }, 'bypass-header'],
    ['a Cookie that may have one', { Cookie: 'a="; session=x' }, 'ambiguous-cookies'],
  ])('is passed on, and neither answered from the cache nor stored: %s', async (_, headers, detail) => {
    const path = `/members/${detail}`;
    let asked = 0;
    origin.on(path, () => ({ fields: ['Cache-Control', 'max-age=60'], body: String((asked += 1)) }));
    await get(path);
    for (const method of ['GET', 'HEAD', 'GET']) {
      const passed = await get(path, headers as unknown as Record<string, string>, method);
      expect(cacheStatusOf(passed)).toMatchObject({ fwd: 'bypass', detail });
    }
    expect(asked).toBe(4);
    const hit = await get(path, { Cookie: 'a=1' });
    expect(hit.body).toBe('1');
    expect(cacheStatusOf(hit)).toMatchObject({ hit: true });
  });
});
