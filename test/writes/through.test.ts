import { afterEach, describe, expect, it } from 'vitest';
import { gate } from '../support/barrier.ts';
import { startScriptedOrigin, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';

let origin: ScriptedOrigin;
let weir: RunningWeir;

afterEach(async () => {
  await weir.stop();
  await origin.close();
});

interface Setting {
  readonly write?: string;
  readonly origin?: string;
  readonly more?: string;
}

async function start(setting: Setting = {}): Promise<void> {
  origin = await startScriptedOrigin();
  weir = await startWeir(yaml(setting));
}

function yaml({ write = '', origin: more = '', more: routes = '' }: Setting): string {
  return `
    origins: { shop: { url: "${origin.url}"${more} } }
    routes:
      - { name: item, match: "/items/{id}", cache: { freshness: headers, tags: ["item:{id}"] }, write: { policy: through${write} } }
      - { name: rest, match: /*, cache: { freshness: headers }${routes} }`;
}

const FRESH = ['Cache-Control', 'max-age=600'];

function get(path: string): Promise<Response> {
  return fetch(`${weir.url}${path}`);
}

function cacheStatus(response: Response): string {
  return response.headers.get('cache-status') ?? '';
}

async function text(response: Response | Promise<Response>): Promise<string> {
  return (await response).text();
}

async function holds(): Promise<number> {
  const stats = (await weir.stats()) as { fence: { holds: number } };
  return stats.fence.holds;
}

describe('a write through', () => {
  it('is what readers see before its sender is answered', async () => {
    await start();
    let value = 'old';
    origin.on('GET /items/1', () => ({ fields: FRESH, body: value }));
    origin.on('PUT /items/1', async (request) => {
      value = (await request.received).toString();
      return { status: 204 };
    });
    expect(await text(get('/items/1'))).toBe('old');
    expect(cacheStatus(await get('/items/1'))).toContain('hit');
    const put = await fetch(`${weir.url}/items/1`, { method: 'PUT', body: 'new' });
    expect(put.status).toBe(204);
    expect(await text(get('/items/1'))).toBe('new');
    expect(await holds()).toBe(0);
  });

  it('holds its tags while the origin is at it, so that nothing fetched meanwhile is used', async () => {
    await start();
    const asked = gate();
    const held = gate();
    origin.on('GET /items/1', { fields: FRESH, body: 'old' });
    origin.on('PUT /items/1', async () => {
      asked.open();
      await held.promise;
      return { status: 204 };
    });
    await text(get('/items/1'));
    const put = fetch(`${weir.url}/items/1`, { method: 'PUT', body: 'new' });
    await asked.promise;
    for (const round of [2, 3]) {
      expect(cacheStatus(await get('/items/1'))).not.toContain('hit');
      expect(origin.count('GET /items/1')).toBe(round);
    }
    origin.on('GET /items/1', { fields: FRESH, body: 'new' });
    held.open();
    await put;
    expect(await text(get('/items/1'))).toBe('new');
    expect(cacheStatus(await get('/items/1'))).toContain('hit');
  });

  it('invalidates what the route and the answer name', async () => {
    await start({
      write: ', invalidate: { tags: ["list:{id}"], urls: ["/lists/{id}"], prefixes: [/search] }',
    });
    for (const path of ['/lists/1', '/search/a', '/elsewhere', '/untouched']) {
      origin.on(path, { fields: FRESH, body: 'old' });
    }
    origin.on('/tagged', { fields: [...FRESH, 'Surrogate-Key', 'list:1'], body: 'old' });
    origin.on('/grouped', { fields: [...FRESH, 'Cache-Groups', '"g"'], body: 'old' });
    origin.on('POST /items/1', {
      status: 201,
      fields: ['Location', '/elsewhere', 'Cache-Group-Invalidation', '"g"'],
    });
    const paths = ['/lists/1', '/search/a', '/elsewhere', '/tagged', '/grouped', '/untouched'];
    for (const path of paths) await text(get(path));
    await fetch(`${weir.url}/items/1`, { method: 'POST', body: 'x' });
    const hits = [];
    for (const path of paths) if (cacheStatus(await get(path)).includes('hit')) hits.push(path);
    expect(hits).toEqual(['/untouched']);
  });

  it('leaves what is stored alone where the origin refuses it', async () => {
    await start();
    origin.on('GET /items/1', { fields: FRESH, body: 'old' });
    origin.on('PUT /items/1', { status: 409 });
    await text(get('/items/1'));
    expect((await fetch(`${weir.url}/items/1`, { method: 'PUT', body: 'x' })).status).toBe(409);
    expect(cacheStatus(await get('/items/1'))).toContain('hit');
    expect(await holds()).toBe(0);
  });

  it('keeps its hold over a restart where its outcome is unknown', async () => {
    await start();
    origin.on('GET /items/1', { fields: FRESH, body: 'old' });
    origin.on('PUT /items/1', async (request, answer) => {
      await request.received;
      answer.reset();
    });
    await text(get('/items/1'));
    const put = await fetch(`${weir.url}/items/1`, { method: 'PUT', body: 'new' });
    expect(put.status).toBe(502);
    await text(get('/items/1'));
    expect(cacheStatus(await get('/items/1'))).not.toContain('hit');
    await weir.kill();
    weir = await startWeir(yaml({}), { folder: weir.folder });
    await text(get('/items/1'));
    expect(cacheStatus(await get('/items/1'))).not.toContain('hit');
  });

  it('ends the hold of an unknown outcome after max-processing', async () => {
    await start({ origin: ', max-processing: 300ms' });
    origin.on('GET /items/1', { fields: FRESH, body: 'old' });
    origin.on('PUT /items/1', async (request, answer) => {
      await request.received;
      answer.reset();
    });
    expect((await fetch(`${weir.url}/items/1`, { method: 'PUT', body: 'new' })).status).toBe(502);
    await expect.poll(holds, { timeout: 10_000 }).toBe(0);
    await text(get('/items/1'));
    expect(cacheStatus(await get('/items/1'))).toContain('hit');
  });

  it('is heard out though its client has left, and not sent where the client left before', async () => {
    await start();
    const asked = gate();
    const held = gate();
    origin.on('PUT /items/1', async (request) => {
      await request.received;
      asked.open();
      await held.promise;
      return { status: 204 };
    });
    const leaving = new AbortController();
    const put = fetch(`${weir.url}/items/1`, { method: 'PUT', body: 'new', signal: leaving.signal });
    put.catch(() => {});
    await asked.promise;
    leaving.abort();
    await expect(put).rejects.toThrow();
    expect(await holds()).toBeGreaterThan(0);
    held.open();
    await expect.poll(holds).toBe(0);
  });

  it('streams a large body without keeping it', async () => {
    await start();
    let bytes = 0;
    origin.on('PUT /items/1', async (request) => {
      bytes = (await request.received).length;
      return { status: 204 };
    });
    const put = await fetch(`${weir.url}/items/1`, { method: 'PUT', body: Buffer.alloc(20 * 2 ** 20) });
    expect(put.status).toBe(204);
    expect(bytes).toBe(20 * 2 ** 20);
  });

  it('asks for the content only when its turn has come (Expect: 100-continue)', async () => {
    await start();
    origin.on('PUT /items/1', async (request) => ({ status: 200, body: await request.received }));
    const { request } = await import('node:http');
    const body = await new Promise<string>((resolve, reject) => {
      const sent = request(`${weir.url}/items/1`, {
        method: 'PUT',
        headers: { Expect: '100-continue', 'Content-Length': '5' },
      });
      sent.on('continue', () => sent.end('hello'));
      sent.on('error', reject);
      sent.on('response', (response) => {
        let text = '';
        response.on('data', (chunk) => (text += String(chunk)));
        response.on('end', () => resolve(text));
      });
      sent.flushHeaders();
    });
    expect(body).toBe('hello');
  });

  it('is not sent again by itself where it may have been carried out', async () => {
    await start({ origin: ', max-processing: 100ms, retry: 3' });
    origin.on('POST /items/1', async (request, answer) => {
      await request.received;
      answer.reset();
    });
    expect((await fetch(`${weir.url}/items/1`, { method: 'POST', body: 'x' })).status).toBe(502);
    expect(origin.count('POST /items/1')).toBe(1);
  });
});

describe('update: true', () => {
  const PUT = { method: 'PUT', body: '{"a":1}', headers: { 'Content-Type': 'application/json' } };

  it('RFC 9110 §9.3.4: a PUT answered with a validator becomes the entry', async () => {
    await start({ write: ', update: true' });
    origin.on('PUT /items/1', { status: 204, fields: ['ETag', '"1"', ...FRESH] });
    await fetch(`${weir.url}/items/1`, PUT);
    const read = await get('/items/1');
    expect(cacheStatus(read)).toContain('hit');
    expect(read.headers.get('etag')).toBe('"1"');
    expect(read.headers.get('content-type')).toBe('application/json');
    expect(await read.text()).toBe('{"a":1}');
    expect(origin.count('GET /items/1')).toBe(0);
  });

  it('RFC 9110 §9.3.4: one answered without a validator does not', async () => {
    await start({ write: ', update: true' });
    origin.on('PUT /items/1', { status: 204, fields: FRESH });
    origin.on('GET /items/1', { fields: FRESH, body: '{"a":2}' });
    await fetch(`${weir.url}/items/1`, PUT);
    expect(await text(get('/items/1'))).toBe('{"a":2}');
  });

  it('does not become the entry where something else touched its tags meanwhile', async () => {
    await start({ write: ', update: true' });
    origin.on('GET /items/1', { fields: FRESH, body: 'another' });
    origin.on('PUT /items/1', async () => {
      await weir.admin('/purge', { method: 'POST', body: JSON.stringify({ tags: ['item:1'] }) });
      return { status: 204, fields: ['ETag', '"1"', ...FRESH] };
    });
    await fetch(`${weir.url}/items/1`, PUT);
    expect(await text(get('/items/1'))).toBe('another');
  });
});
