import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { gate, until } from '../support/barrier.ts';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { ask, askHead, readAll } from './client.ts';
import { entriesOf } from './observed.ts';

const FRESH = ['Cache-Control', 'max-age=3600'];
const MIB = 1024 * 1024;
let origin: ScriptedOrigin;
let weir: RunningWeir;

useWeir(
  (url) => `
    listen: { port: 0, workers: 1 }
    cache: { memory: 16MiB, disk: { path: ./data, size: 256MiB } }
    origins: { app: { url: "${url}" } }
    routes:
      - { name: cdn, match: /cdn/*, origin: app, cache: { freshness: fixed, ttl: 1h, downstream: {
          cache-control: "max-age=5", cdn-cache-control: "max-age=60", keep-tags: false } } }
      - { name: kept, match: /kept/*, origin: app, cache: { freshness: fixed, ttl: 1h } }
      - { name: few, match: /few/*, origin: app, cache: { max-variants: 2 } }
      - { name: named, match: /named/*, origin: app, cache: { key: {
          query: { only: [page] }, headers: [x-tenant], cookies: [lang] } } }
      - { name: whole, match: /whole/*, origin: app, cache: { client-directives: honor } }
      - { name: all, match: /*, origin: app }`,
  (started) => ({ origin, weir } = started),
);

afterEach(() => origin.forget());

const get = (path: string, headers: Record<string, string | string[]> = {}) =>
  ask(`${weir.url}${path}`, { headers });

describe('a proxy by RFC 9110', () => {
  it('§7.6.2 forwards TRACE and OPTIONS with a decremented Max-Forwards', async () => {
    origin.on('/on', { body: 'there' });
    for (const method of ['TRACE', 'OPTIONS']) {
      expect((await ask(`${weir.url}/on`, { method, headers: { 'max-forwards': '3' } })).body).toBe('there');
    }
    expect(origin.requests.map(({ headers }) => headers['max-forwards'])).toEqual(['2', '2']);
  });

  it('§7.6.2 answers them itself at zero, and TRACE without secrets', async () => {
    const headers = { 'max-forwards': '0', cookie: 'a=b', authorization: 'Basic x', foo: 'bar' };
    const traced = await ask(`${weir.url}/on?a=b`, { method: 'TRACE', headers });
    expect(traced).toMatchObject({ status: 200, headers: { 'content-type': 'message/http' } });
    expect(traced.body).toMatch(/^TRACE \/on\?a=b HTTP\/1\.1\r\n/);
    expect(traced.body).toContain('foo: bar');
    expect(traced.body).not.toMatch(/cookie|authorization/i);
    const options = await ask(`${weir.url}/on`, { method: 'OPTIONS', headers });
    expect(options.status).toBe(204);
    expect(options.headers['allow']).toContain('GET');
    expect(origin.requests).toEqual([]);
  });

  it('§7.6.3 rejects a request that has passed through it too often, and allows several in a row', async () => {
    origin.on('/loop', { body: 'there' });
    const through = (times: number) =>
      get('/loop', { via: Array.from({ length: times }, () => '1.1 weir').join(', ') });
    expect(await through(2)).toMatchObject({ status: 200, body: 'there' });
    expect(origin.requests[0]!.headers['via']).toBe('1.1 weir, 1.1 weir, 1.1 weir');
    expect(await through(5)).toMatchObject({
      status: 508,
      headers: {
        'proxy-status': 'weir; error=proxy_loop_detected',
        'cache-status': 'weir; detail=loop',
        'cache-control': 'no-store',
        via: '1.1 weir',
      },
    });
    expect(origin.count()).toBe(1);
  });

  it('ends a request that its own origin sends back to it', async () => {
    origin.on('POST /circle', async (request) => {
      const answer = await ask(`${weir.url}/circle`, {
        method: 'POST',
        body: 'x',
        headers: { via: request.headers['via'] ?? '' },
      });
      return { status: answer.status };
    });
    expect((await ask(`${weir.url}/circle`, { method: 'POST', body: 'x' })).status).toBe(508);
    expect(origin.count()).toBe(5);
  });
});

describe('a CDN below Weir', () => {
  it('gets the lifetime of the route, with an age of its own, and no tags', async () => {
    const fields = [
      ...FRESH,
      'Expires',
      'Fri, 01 Jan 2038 00:00:00 GMT',
      'Surrogate-Key',
      'a b',
      'Cache-Tag',
      'c',
    ];
    origin.on('/cdn/a', { fields: [...fields, 'Age', '50'], body: 'a' });
    for (const _ of [1, 2]) {
      const { headers } = await get('/cdn/a');
      expect(headers).toMatchObject({ 'cache-control': 'max-age=5', 'cdn-cache-control': 'max-age=60' });
      expect(headers['expires'] ?? headers['surrogate-key'] ?? headers['cache-tag']).toBeUndefined();
      expect(['0', undefined]).toContain(headers['age']);
    }
    expect(origin.count()).toBe(1);
  });

  it('gets no age beyond the origin’s own lifetime, where the route keeps an answer longer', async () => {
    origin.on('/kept/a', {
      fields: ['Cache-Control', 'max-age=10', 'Age', '7', 'Surrogate-Key', 'a'],
      body: 'a',
    });
    const askedAtMs = performance.now();
    await get('/kept/a');
    // The time that the origin took counts, in whole seconds; the time since then does not.
    const delaySeconds = Math.floor((performance.now() - askedAtMs) / 1000);
    const { headers } = await get('/kept/a');
    expect(headers).toMatchObject({ 'cache-control': 'max-age=10', 'surrogate-key': 'a' });
    expect(Number(headers['age'])).toBeGreaterThanOrEqual(7);
    expect(Number(headers['age'])).toBeLessThanOrEqual(7 + delaySeconds);
  });

  it('gets a Cache-Status after those of caches before Weir (RFC 9211)', async () => {
    origin.on('/status', { fields: [...FRESH, 'Cache-Status', 'inner; hit'], body: 'a' });
    await get('/status');
    expect((await get('/status')).headers['cache-status']).toMatch(/^inner; hit, weir; hit; ttl=\d+/);
  });
});

/** The tiers in which each variant of a path is stored. */
async function stored(path: string): Promise<string[]> {
  return (await entriesOf(weir, path)).map(({ levels }) => levels.join('+'));
}

describe('variants', () => {
  it('are stored up to max-variants, the newest first, and the others are counted', async () => {
    origin.on('/few/a', ({ headers }) => ({
      fields: [...FRESH, 'Vary', 'Foo'],
      body: String(headers['foo']),
    }));
    const asked = async (foo: string) => (await get('/few/a', { foo })).body;
    const before = (await weir.stats()) as { memory: { variantEvictions: number } };
    for (const foo of ['1', '2', '3', '3', '2']) expect(await asked(foo)).toBe(foo);
    expect(origin.count()).toBe(3);
    while ((await stored('/few/a')).join() !== 'memory+disk,memory+disk');
    expect(await asked('1')).toBe('1');
    expect(origin.count()).toBe(4);
    const after = (await weir.stats()) as { memory: { variantEvictions: number } };
    expect(after.memory.variantEvictions).toBe(before.memory.variantEvictions + 2);
  });

  it('are validated by all their validators at once', async () => {
    origin.on('/tags', ({ headers }) => ({
      fields: ['Cache-Control', 'no-cache', 'Vary', 'Foo', 'ETag', `"${headers['foo']}"`],
      body: String(headers['foo']),
    }));
    await get('/tags', { foo: '1' });
    await get('/tags', { foo: '2' });
    await get('/tags', { foo: '3' });
    expect(origin.requests.map(({ headers }) => headers['if-none-match'])).toEqual([
      undefined,
      '"1"',
      expect.stringMatching(/^"[12]", "[12]"$/),
    ]);
  });
});

describe('only-if-cached', () => {
  it('is 504 where no usable entry is stored', async () => {
    origin.on('/whole/oic', {
      fields: ['Cache-Control', 'max-age=10', 'Age', '20', 'ETag', '"1"'],
      body: 'a',
    });
    const wanted = { 'cache-control': 'only-if-cached' };
    expect((await get('/whole/oic', wanted)).status).toBe(504);
    await get('/whole/oic');
    expect((await get('/whole/oic', wanted)).status).toBe(504);
    expect((await get('/whole/oic', { 'cache-control': 'only-if-cached, max-stale' })).body).toBe('a');
    expect(origin.count()).toBe(1);
  });

  it('is 504 where the origin would have to evaluate a condition', async () => {
    origin.on('/whole/judged', { fields: [...FRESH, 'ETag', '"1"'], body: 'a' });
    await get('/whole/judged');
    const wanted = { 'cache-control': 'only-if-cached' };
    expect((await get('/whole/judged', { ...wanted, 'if-match': '"2"' })).status).toBe(504);
    expect((await get('/whole/judged', { ...wanted, 'if-match': '"1"' })).status).toBe(200);
    expect(origin.count()).toBe(1);
  });
});

describe('a running request to the origin', () => {
  it('is not joined by requests that demand validation', async () => {
    const held = gate();
    origin.on('/whole/word', async () => {
      await held.promise;
      return { fields: FRESH, body: 'a' };
    });
    const first = get('/whole/word');
    await origin.seen('/whole/word');
    // A millisecond later by the clock that dates requests.
    const asked = Date.now();
    await until(() => Date.now() > asked);
    const others = [
      get('/whole/word', { 'cache-control': 'no-cache' }),
      get('/whole/word', { pragma: 'no-cache' }),
    ];
    await origin.seen('/whole/word', 2);
    held.open();
    for (const { body } of await Promise.all([first, ...others])) expect(body).toBe('a');
  });

  it('is joined by all others, even if one of them forbids storing', async () => {
    const held = gate();
    origin.on('/whole/secret', async () => {
      await held.promise;
      return { fields: FRESH, body: 'a' };
    });
    const secret = get('/whole/secret', { 'cache-control': 'no-store' });
    await origin.seen('/whole/secret');
    const others = Array.from({ length: 5 }, () => get('/whole/secret'));
    await origin.seen('/whole/secret', 2);
    held.open();
    for (const { body } of await Promise.all([secret, ...others])) expect(body).toBe('a');
    expect((await secret).headers['cache-status']).toContain('detail=request-no-store');
    expect((await get('/whole/secret')).headers['cache-status']).toContain('hit');
    expect(origin.count()).toBe(2);
  });

  it('is not joined by requests for which its answer is too old', async () => {
    const held = gate();
    origin.on('/whole/old', async (_, answer) => {
      answer.head(200, [...FRESH, 'Age', '1800', 'Content-Length', '2']);
      await answer.write('a');
      await held.promise;
      await answer.write('b');
      answer.end();
    });
    const first = await askHead(`${weir.url}/whole/old`);
    const same = await askHead(`${weir.url}/whole/old`, { headers: { 'cache-control': 'max-age=2000' } });
    const younger = get('/whole/old', { 'cache-control': 'max-age=600' });
    await origin.seen('/whole/old', 2);
    held.open();
    for (const message of [first, same]) expect((await readAll(message)).body).toBe('ab');
    expect((await younger).body).toBe('ab');
  });
});

describe('ranges of an entry that is too large for memory', () => {
  const large = randomBytes(4 * MIB);
  const text = large.toString('latin1');

  it('come from disk: one, several, and the last', async () => {
    origin.on('/large', { fields: [...FRESH, 'ETag', '"1"', 'Content-Type', 'image/x'], body: large });
    expect((await get('/large')).body === text).toBe(true);
    const one = await get('/large', { range: `bytes=${MIB - 5}-${MIB + 5}` });
    expect(one).toMatchObject({ status: 206, body: text.slice(MIB - 5, MIB + 6) });
    expect(one.headers['content-range']).toBe(`bytes ${MIB - 5}-${MIB + 5}/${4 * MIB}`);
    expect((await get('/large', { range: 'bytes=-3', 'if-range': '"1"' })).body).toBe(text.slice(-3));
    expect((await get('/large', { range: 'bytes=-3', 'if-range': '"2"' })).body === text).toBe(true);
    expect((await get('/large', { range: `bytes=${5 * MIB}-` })).headers['content-range']).toBe(
      `bytes */${4 * MIB}`,
    );
    const several = await get('/large', { range: `bytes=0-2,${3 * MIB}-${3 * MIB + 2}` });
    const type = several.headers['content-type']!;
    const boundary = type.slice('multipart/byteranges; boundary='.length);
    const part = (range: string, bytes: string) =>
      `--${boundary}\r\nContent-Type: image/x\r\nContent-Range: bytes ${range}/${4 * MIB}\r\n\r\n${bytes}\r\n`;
    const expected = `${part('0-2', text.slice(0, 3))}${part(`${3 * MIB}-${3 * MIB + 2}`, text.slice(3 * MIB, 3 * MIB + 3))}--${boundary}--\r\n`;
    expect(several.status).toBe(206);
    expect(several.body).toBe(expected);
    expect(several.headers['content-length']).toBe(String(expected.length));
    expect(origin.count()).toBe(1);
  });

  it('are cut from content that is still arriving', async () => {
    const sent = Promise.withResolvers<void>();
    origin.on('/coming', async (_, answer) => {
      answer.head(200, [...FRESH, 'Content-Length', String(large.length)]);
      await answer.write(large.subarray(0, MIB));
      await sent.promise;
      await answer.write(large.subarray(MIB));
      answer.end();
    });
    const whole = get('/coming');
    await origin.seen('/coming');
    expect((await get('/coming', { range: 'bytes=5-9' })).body).toBe(text.slice(5, 10));
    const later = get('/coming', { range: `bytes=5-9,${2 * MIB}-${2 * MIB + 1}` });
    sent.resolve();
    expect((await later).body).toContain(`${text.slice(2 * MIB, 2 * MIB + 2)}\r\n--`);
    expect((await whole).body === text).toBe(true);
    expect(origin.count()).toBe(1);
  });
});

describe('a part of a request that is not in the key does not affect what is stored', () => {
  const echo = (path: string) =>
    origin.on(path, ({ url, fields, body }) => ({
      fields: FRESH,
      body: JSON.stringify({ url, fields, body: String(body) }),
    }));

  it.each([
    'X-Forwarded-Host',
    'X-Forwarded-Proto',
    'X-Forwarded-Server',
    'X-Forwarded-Scheme',
    'X-Forwarded-Port',
    'X-Forwarded-Prefix',
    'X-Original-URL',
    'X-Rewrite-URL',
    'X-Host',
    'X-HTTP-Method-Override',
    'X-HTTP-Method',
    'X-Method-Override',
    'Forwarded',
  ])('%s does not reach the origin with its value', async (name) => {
    const path = `/unkeyed/${name.toLowerCase()}`;
    echo(path);
    expect((await get(path, { [name]: 'evil.example' })).body).not.toContain('evil.example');
  });

  it('Host and an absolute target do not reach the origin', async () => {
    echo('/unkeyed/host');
    expect((await get('/unkeyed/host', { host: 'evil.example' })).body).not.toContain('evil.example');
  });

  it('a body of a GET is only for its sender', async () => {
    origin.on('/fat', async (request) => ({ fields: FRESH, body: `said ${String(await request.received)}` }));
    expect((await ask(`${weir.url}/fat`, { body: 'evil', headers: { 'content-length': '4' } })).body).toBe(
      'said evil',
    );
    expect((await get('/fat')).body).toBe('said ');
  });

  it('parameters that the route does not name do not reach the origin, not even hidden ones', async () => {
    echo('/named/a');
    const { url } = JSON.parse((await get('/named/a?evil=1&page=2&utm=x')).body) as { url: string };
    expect(url).toBe('/named/a?page=2');
    expect((await get('/named/a?page=2')).headers['cache-status']).toContain('hit');
    // A separator for one server but not for another stays within one value.
    const cloaked = JSON.parse((await get('/named/a?utm=1;page=evil')).body) as { url: string };
    expect(cloaked.url).toBe('/named/a');
  });

  it('headers and cookies that the route names are in the key', async () => {
    origin.on('/named/b', ({ headers }) => ({
      fields: FRESH,
      body: `${headers['x-tenant']} ${headers['cookie']}`,
    }));
    expect((await get('/named/b', { 'x-tenant': '1', cookie: 'lang=de' })).body).toBe('1 lang=de');
    expect((await get('/named/b', { 'x-tenant': '2', cookie: 'lang=de' })).body).toBe('2 lang=de');
    expect((await get('/named/b', { 'x-tenant': '1', cookie: 'lang=en' })).body).toBe('1 lang=en');
    expect((await get('/named/b', { 'x-tenant': '1', cookie: 'sid=9; lang=de' })).body).toBe('1 lang=de');
    expect(origin.count()).toBe(3);
  });

  it('a path has one form, for the key and for the origin', async () => {
    origin.on('*', ({ url }) => ({ fields: FRESH, body: url }));
    expect((await get('/form/%7euser/%2fa')).body).toBe('/form/~user/%2Fa');
    for (const same of ['/form/~user/%2fa', '/form/%7Euser/%2Fa']) {
      expect((await get(same)).headers['cache-status']).toContain('hit');
    }
    expect((await get('/form/~user//a')).body).toBe('/form/~user//a');
    expect((await get('/form/~user/%252Fa')).body).toBe('/form/~user/%252Fa');
  });

  it('errors that an unusual request causes are not stored for others', async () => {
    for (const status of [412, 416, 428, 429, 431]) {
      origin.on(`/provoked/${status}`, ({ headers }) =>
        headers['x-strange'] === undefined
          ? { fields: FRESH, body: 'fine' }
          : { status, fields: FRESH, body: 'no' },
      );
      expect((await get(`/provoked/${status}`, { 'x-strange': '\u00ff'.repeat(3) })).status).toBe(status);
      expect((await get(`/provoked/${status}`)).body).toBe('fine');
    }
  });

  it('a private page is not stored for others because its path looks public', async () => {
    origin.on('/account/*', ({ headers }) => ({
      fields: ['Cache-Control', 'private, no-store'],
      body: `for ${headers['cookie']}`,
    }));
    for (const path of ['/account/style.css', '/account/;a.js', '/account/x%2fa.png', '/account/x.ico?y']) {
      expect((await get(path, { cookie: 'alice' })).body).toBe('for alice');
      expect((await get(path, { cookie: 'bob' })).body).toBe('for bob');
    }
  });
});
