/** Tests the fields of requests and responses that pass through Weir. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startScriptedOrigin, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { ask, askHead, cacheStatusOf, readAll } from './client.ts';

let origin: ScriptedOrigin;
let open: RunningWeir;
let behind: RunningWeir;

beforeAll(async () => {
  origin = await startScriptedOrigin();
  const start = (listen: string, hostHeader: string) =>
    startWeir(`
      listen: { port: 0, workers: 1${listen} }
      cache: { memory: 16MiB, disk: { path: ./data, size: 0 } }
      origins: { app: { url: "${origin.url}", host-header: ${hostHeader} } }
    `);
  [open, behind] = await Promise.all([
    start('', 'origin'),
    start(', trusted-proxies: [127.0.0.0/8]', 'client'),
  ]);
});

beforeEach(() => origin.forget());

afterAll(async () => {
  await Promise.all([open?.stop(), behind?.stop()]);
  await origin.close();
});

const ONE_HOP = [
  'Connection',
  'X-Mine',
  'X-Mine',
  '1',
  'Keep-Alive',
  'timeout=7',
  'Proxy-Authenticate',
  'Basic',
];

const LIES = {
  'X-Forwarded-For': '192.0.2.1',
  'X-Forwarded-Proto': 'https',
  'X-Forwarded-Host': 'shop.example',
  Forwarded: 'for=192.0.2.1;host=shop.example;proto=https',
};

/** The fields that the origin gets, for a request with a URL of its own. */
async function received(weir: RunningWeir, path: string, headers: Record<string, string>, method = 'GET') {
  origin.on(path, { fields: ['Cache-Control', 'max-age=60'], body: 'x' });
  await ask(`${weir.url}${path}`, { headers, method });
  return origin.requests.at(-1)!.headers;
}

describe('forwarding fields', () => {
  it.each(['GET', 'POST'])(
    'of an untrusted peer are replaced, and do not show the origin a host that it does not see (%s)',
    async (method) => {
      const sent = await received(open, `/stranger/${method}`, LIES, method);
      expect(sent['x-forwarded-for']).toBe('127.0.0.1');
      expect(sent['x-forwarded-host']).toBeUndefined();
      expect(sent['x-forwarded-proto']).toBeUndefined();
      expect(sent['forwarded']).toBe('for=127.0.0.1');
      expect(sent.host).toBe(new URL(origin.url).host);
      expect(JSON.stringify(sent)).not.toContain('shop.example');
    },
  );

  it.each(['GET', 'POST'])('of a trusted proxy are extended (%s)', async (method) => {
    const sent = await received(behind, `/trusted/${method}`, LIES, method);
    expect(sent['x-forwarded-for']).toBe('192.0.2.1, 127.0.0.1');
    expect(sent['x-forwarded-host']).toBe('shop.example');
    expect(sent['x-forwarded-proto']).toBe('https');
    expect(sent['forwarded']).toMatch(/^for=192\.0\.2\.1;host=shop\.example;proto=https, ?for=127\.0\.0\.1/);
    expect(sent.host).toBe('shop.example');
  });

  it.each(['GET', 'POST', 'HEAD'])(
    'of a trusted proxy that contradict each other are rejected (%s)',
    async (method) => {
      const headers = { ...LIES, Forwarded: 'host=evil.example' };
      const refused = await ask(`${behind.url}/contradicted`, { headers, method });
      expect(refused.status).toBe(400);
      expect(refused.headers['cache-status']).toBe('weir; detail=forwarding-conflict');
      expect(origin.count('/contradicted')).toBe(0);
    },
  );

  it('affect the key only where the origin sees the host', async () => {
    for (const weir of [open, behind]) {
      for (const host of ['a.example', 'b.example']) {
        await received(weir, '/steered', { 'X-Forwarded-Host': host, 'X-Forwarded-Proto': 'https' });
      }
    }
    expect(origin.requests.map(({ headers }) => headers.host)).toEqual([
      new URL(origin.url).host,
      'a.example',
      'b.example',
    ]);
  });

  it("with the scheme's own port name the same site as without, for the key and for purges", async () => {
    let version = 1;
    origin.on('/ports', () => ({ fields: ['Cache-Control', 'max-age=60'], body: String(version) }));
    const get = (host: string, proto: string) =>
      ask(`${behind.url}/ports`, { headers: { Host: host, 'X-Forwarded-Proto': proto } });
    const purge = (selection: object) =>
      behind.admin('/purge', { method: 'POST', body: JSON.stringify(selection) });
    for (const [named, proto, selection] of [
      ['c.example:80', 'http', { urls: ['http://c.example/ports'] }],
      ['c.example:443', 'https', { urls: ['https://c.example/ports'] }],
      ['c.example:80', 'http', { hosts: ['c.example:80'] }],
    ] as const) {
      const { body } = await get(named, proto);
      expect(cacheStatusOf(await get('c.example', proto))).toMatchObject({ hit: true });
      version += 1;
      expect((await purge(selection)).status).toBe(200);
      expect((await get(named, proto)).body).not.toBe(body);
    }
  });

  it('determine the scheme by which an entry is found', async () => {
    await received(behind, '/secure', { 'X-Forwarded-Host': 'd.example', 'X-Forwarded-Proto': 'https' });
    const found = async (url: string) => {
      const report = await behind.admin(`/entries?url=${encodeURIComponent(url)}`);
      return ((await report.json()) as { entries: unknown[] }).entries.length;
    };
    expect(await found('https://d.example/secure')).toBe(1);
    expect(await found('http://d.example/secure')).toBe(0);
  });
});

describe('hop-by-hop fields', () => {
  it.each(['GET', 'POST'])('are not forwarded, nor are those that Connection names (%s)', async (method) => {
    const sent = await received(
      open,
      `/hop/${method}`,
      {
        Connection: 'keep-alive, X-Mine',
        'X-Mine': '1',
        'Keep-Alive': 'timeout=5',
        TE: 'trailers',
        'X-Kept': '2',
      },
      method,
    );
    expect(sent).not.toHaveProperty('x-mine');
    expect(sent).not.toHaveProperty('keep-alive');
    expect(sent['x-kept']).toBe('2');
    expect(sent['via']).toMatch(/^1\.1 weir/);
  });

  it('RFC 9110 §6.5: are not forwarded as trailers, and no cookie of a shared answer is', async () => {
    const fields = ['Connection: close', 'Transfer-Encoding: chunked', 'Cache-Control: max-age=60'];
    const head = `HTTP/1.1 200 OK\r\n${fields.join('\r\n')}\r\n\r\n`;
    const trailers = 'Keep-Alive: timeout=7\r\nSet-Cookie: a=b\r\nX-Sum: 1\r\n\r\n';
    origin.on('/trailers', (_, answer) => answer.raw(`${head}1\r\nx\r\n0\r\n${trailers}`));
    const message = await askHead(`${open.url}/trailers`);
    await readAll(message);
    expect(message.rawTrailers).toEqual(['X-Sum', '1']);
  });

  it.each(['max-age=60', 'no-store'])(
    'of a response are neither forwarded nor stored (%s)',
    async (policy) => {
      const path = `/hop/answer/${policy}`;
      origin.on(path, {
        fields: ['Cache-Control', policy].concat(ONE_HOP, ['X-Kept', 'a', 'X-Kept', 'b', 'Via', '1.1 inner']),
        body: 'x',
      });
      for (let i = 0; i < 2; i += 1) {
        const { headers, fields } = await ask(`${open.url}${path}`);
        expect(headers).not.toHaveProperty('x-mine');
        expect(headers['keep-alive'] ?? '').not.toContain('timeout=7');
        expect(fields.filter((field) => field === 'X-Kept')).toHaveLength(2);
        expect(headers['via']).toMatch(/^1\.1 inner, 1\.1 weir/);
      }
    },
  );
});

describe('Cache-Status', () => {
  const statusOf = async (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    cacheStatusOf(await ask(`${open.url}${path}`, { headers, method }));

  it('states each outcome', async () => {
    origin.on('/said', { fields: ['Cache-Control', 'max-age=60', 'Vary', 'X-Kind'], body: 'x' });
    const miss = await statusOf('/said');
    expect(miss).toMatchObject({ fwd: 'uri-miss', 'fwd-status': '200', stored: true });
    expect(Number(miss['ttl'])).toBeGreaterThan(50);
    const hit = await statusOf('/said');
    expect(hit).toMatchObject({ hit: true });
    expect(Number(hit['ttl'])).toBeGreaterThan(50);
    expect(hit).not.toHaveProperty('key');
    expect(await statusOf('/said', { 'X-Kind': 'a' })).toMatchObject({ fwd: 'vary-miss' });
    expect(await statusOf('/said', {}, 'POST')).toMatchObject({ fwd: 'method' });
    expect(await statusOf('/said', {}, 'OPTIONS')).toMatchObject({ fwd: 'method' });
  });

  it("comes after the origin's own", async () => {
    origin.on('/inner', { fields: ['Cache-Control', 'max-age=60', 'Cache-Status', 'inner; hit'], body: 'x' });
    for (let i = 0; i < 2; i += 1) {
      const { headers } = await ask(`${open.url}/inner`);
      expect(headers['cache-status']).toMatch(/^inner; hit, weir; /);
    }
  });

  it('is also sent where no route matches', async () => {
    const weir = await startWeir(`
      listen: { port: 0, workers: 1 }
      cache: { memory: 1MiB, disk: { path: ./data, size: 0 } }
      origins: { app: { url: "${origin.url}" } }
      routes: [{ name: one, match: { path: /one, methods: [GET] } }]
    `);
    const missing = await ask(`${weir.url}/two`);
    expect(missing).toMatchObject({ status: 404 });
    expect(missing.headers['cache-status']).toBe('weir; detail=no-route');
    expect(missing.headers['proxy-status']).toBe('weir; error=destination_not_found');
    expect(missing.headers['content-type']).toBe('application/problem+json');
    const method = await ask(`${weir.url}/one`, { method: 'POST' });
    expect(method).toMatchObject({ status: 405 });
    expect(method.headers['proxy-status']).toBe('weir; error=http_request_error');
    expect(method.headers['allow']).toContain('GET');
    expect(method.headers['cache-status']).toBe('weir; detail=method-not-allowed');
    const malformed = await ask(`${weir.url}/%00`);
    expect(malformed).toMatchObject({ status: 400 });
    expect(malformed.headers['cache-status']).toBe('weir; detail=malformed-target');
    await weir.stop();
  });
});

describe('Age', () => {
  it("includes the Age of the origin's answer", async () => {
    origin.on('/aged', { fields: ['Cache-Control', 'max-age=600', 'Age', '100'], body: 'x' });
    const first = await ask(`${open.url}/aged`);
    expect(Number(first.headers['age'])).toBeGreaterThanOrEqual(100);
    const second = await ask(`${open.url}/aged`);
    expect(Number(second.headers['age'])).toBeGreaterThanOrEqual(100);
    expect(cacheStatusOf(second)).toMatchObject({ hit: true });
  });
});
