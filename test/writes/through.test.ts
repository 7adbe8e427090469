import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { gate } from '../support/barrier.ts';
import { startScriptedOrigin, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';

let origin: ScriptedOrigin;
let weir: RunningWeir;

beforeAll(async () => {
  origin = await startScriptedOrigin();
  weir = await startWeir(yaml());
});

afterAll(async () => {
  await weir.stop();
  await origin.close();
});

beforeEach(() => origin.forget());

/** Each test has URLs of its own. */
function yaml(): string {
  const through = (more: string): string =>
    `cache: { freshness: headers }, write: { policy: through${more} }`;
  return `
    origins:
      shop: { url: "${origin.url}" }
      brief: { url: "${origin.url}", max-processing: 300ms, retry: 3 }
    routes:
      - { name: item, match: "/items/{id}", origin: shop, ${through('')} }
      - { name: brief, match: "/brief/{id}", origin: brief, ${through('')} }
      - name: named
        match: "/named/{id}"
        origin: shop
        write: { policy: through, invalidate: { tags: ["list:{id}"], urls: ["/lists/{id}"], prefixes: [/search] } }
      - name: kept
        match: "/kept/{id}"
        origin: shop
        cache: { freshness: headers, tags: ["kept:{id}"] }
        write: { policy: through, update: true }
      - name: plain
        match: "/plain/{id}"
        origin: shop
        cache: { freshness: headers, key: { query: none } }
        write: { policy: through, update: true }
      - { name: rest, match: /*, origin: shop, cache: { freshness: headers } }`;
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

/** Another worker may find for a moment that the entry is still being stored. */
async function untilHit(path: string): Promise<void> {
  await expect.poll(async () => cacheStatus(await get(path))).toContain('hit');
}

async function holds(): Promise<number> {
  const stats = (await weir.stats()) as { fence: { holds: number } };
  return stats.fence.holds;
}

describe('a write through', () => {
  it('is visible to readers before its sender gets the answer', async () => {
    let value = 'old';
    origin.on('GET /items/1', () => ({ fields: FRESH, body: value }));
    origin.on('PUT /items/1', async (request) => {
      value = (await request.received).toString();
      return { status: 204 };
    });
    expect(await text(get('/items/1'))).toBe('old');
    await untilHit('/items/1');
    const put = await fetch(`${weir.url}/items/1`, { method: 'PUT', body: 'new' });
    expect(put.status).toBe(204);
    expect(await text(get('/items/1'))).toBe('new');
    expect(await holds()).toBe(0);
  });

  it('holds its tags while the origin processes it, so that nothing fetched meanwhile is used', async () => {
    const asked = gate();
    const held = gate();
    origin.on('GET /items/2', { fields: FRESH, body: 'old' });
    origin.on('PUT /items/2', async () => {
      asked.open();
      await held.promise;
      return { status: 204 };
    });
    await text(get('/items/2'));
    const put = fetch(`${weir.url}/items/2`, { method: 'PUT', body: 'new' });
    await asked.promise;
    for (const before of [1, 2]) {
      // A client that asks while the last answer is still being passed on gets that answer.
      await expect
        .poll(async () => {
          expect(cacheStatus(await get('/items/2'))).not.toContain('hit');
          return origin.count('GET /items/2');
        })
        .toBeGreaterThan(before);
    }
    origin.on('GET /items/2', { fields: FRESH, body: 'new' });
    held.open();
    await put;
    expect(await text(get('/items/2'))).toBe('new');
    await untilHit('/items/2');
  });

  it('invalidates what the route and the answer name', async () => {
    for (const path of ['/lists/3', '/search/a', '/elsewhere', '/here', '/untouched']) {
      origin.on(path, { fields: FRESH, body: 'old' });
    }
    origin.on('/tagged', { fields: [...FRESH, 'Surrogate-Key', 'list:3'], body: 'old' });
    origin.on('/grouped', { fields: [...FRESH, 'Cache-Groups', '"g"'], body: 'old' });
    origin.on('POST /named/3', {
      status: 201,
      fields: ['Location', '/elsewhere', 'Content-Location', '/here', 'Cache-Group-Invalidation', '"g"'],
    });
    const paths = ['/lists/3', '/search/a', '/elsewhere', '/here', '/tagged', '/grouped', '/untouched'];
    for (const path of paths) await untilHit(path);
    await fetch(`${weir.url}/named/3`, { method: 'POST', body: 'x' });
    const hits = [];
    for (const path of paths) if (cacheStatus(await get(path)).includes('hit')) hits.push(path);
    expect(hits).toEqual(['/untouched']);
  });

  it('does not affect stored entries where the origin rejects it', async () => {
    origin.on('GET /items/4', { fields: FRESH, body: 'old' });
    origin.on('PUT /items/4', { status: 409 });
    await untilHit('/items/4');
    expect((await fetch(`${weir.url}/items/4`, { method: 'PUT', body: 'x' })).status).toBe(409);
    expect(cacheStatus(await get('/items/4'))).toContain('hit');
    expect(await holds()).toBe(0);
  });

  it('ends the hold of an unknown outcome after max-processing', async () => {
    origin.on('GET /brief/6', { fields: FRESH, body: 'old' });
    origin.on('PUT /brief/6', async (request, answer) => {
      await request.received;
      answer.reset();
    });
    expect((await fetch(`${weir.url}/brief/6`, { method: 'PUT', body: 'new' })).status).toBe(502);
    await expect.poll(holds).toBe(0);
    await untilHit('/brief/6');
  });

  it('continues when its client leaves, and is not sent if the client left before', async () => {
    const asked = gate();
    const held = gate();
    origin.on('PUT /items/7', async (request) => {
      await request.received;
      asked.open();
      await held.promise;
      return { status: 204 };
    });
    const leaving = new AbortController();
    const put = fetch(`${weir.url}/items/7`, { method: 'PUT', body: 'new', signal: leaving.signal });
    put.catch(() => {});
    await asked.promise;
    leaving.abort();
    await expect(put).rejects.toThrow();
    expect(await holds()).toBeGreaterThan(0);
    held.open();
    await expect.poll(holds).toBe(0);
  });

  it('reads no more of a body than the origin does, except what buffers hold', async () => {
    const read = gate();
    let bytes = 0;
    origin.on('PUT /items/14', async ({ node, received }) => {
      node.pause();
      await read.promise;
      node.resume();
      bytes = (await received).length;
      return { status: 204 };
    });
    const chunk = Buffer.alloc(2 ** 20);
    const chunks = 64;
    let sent = 0;
    const { request } = await import('node:http');
    const put = request(`${weir.url}/items/14`, {
      method: 'PUT',
      headers: { 'Content-Length': chunks * chunk.length },
    });
    const answered = new Promise<number | undefined>((resolve) => {
      put.on('response', (response) => resolve(response.resume().statusCode));
    });
    for (let i = 0; i < chunks; i += 1) put.write(chunk, () => (sent += 1));
    put.end();
    await origin.seen('PUT /items/14');
    // Waits until no more is read while other requests complete.
    for (let before = -1, same = 0; same < 20; before = sent) {
      await text(get('/other'));
      same = sent === before ? same + 1 : 0;
    }
    expect(sent).toBeLessThan(chunks / 2);
    read.open();
    expect(await answered).toBe(204);
    expect(bytes).toBe(chunks * chunk.length);
  });

  it('streams a large body without storing it', async () => {
    let bytes = 0;
    origin.on('PUT /items/8', async (request) => {
      bytes = (await request.received).length;
      return { status: 204 };
    });
    const put = await fetch(`${weir.url}/items/8`, { method: 'PUT', body: Buffer.alloc(20 * 2 ** 20) });
    expect(put.status).toBe(204);
    expect(bytes).toBe(20 * 2 ** 20);
  });

  it('asks for the content only when its turn has come (Expect: 100-continue)', async () => {
    origin.on('PUT /items/9', async (request) => ({ status: 200, body: await request.received }));
    const { request } = await import('node:http');
    const body = await new Promise<string>((resolve, reject) => {
      const sent = request(`${weir.url}/items/9`, {
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

  it('is not sent while an earlier one may still be carried out', async () => {
    const arrivedAtMs: number[] = [];
    origin.on('PUT /brief/12', async (request, answer) => {
      await request.received;
      arrivedAtMs.push(performance.now());
      if (arrivedAtMs.length > 1) return { status: 204 };
      answer.reset();
      return undefined;
    });
    const put = (body: string) => fetch(`${weir.url}/brief/12`, { method: 'PUT', body });
    expect((await put('first')).status).toBe(502);
    expect((await put('second')).status).toBe(204);
    const [first, second] = arrivedAtMs;
    // The origin may carry out the first for its `max-processing` of 300 ms. Weir's wall clock counts whole milliseconds.
    expect(second! - first!).toBeGreaterThan(298);
  });

  it('is not retried where it may have been carried out', async () => {
    origin.on('POST /brief/10', async (request, answer) => {
      await request.received;
      answer.reset();
    });
    expect((await fetch(`${weir.url}/brief/10`, { method: 'POST', body: 'x' })).status).toBe(502);
    expect(origin.count('POST /brief/10')).toBe(1);
  });
});

describe('update: true', () => {
  const PUT = { method: 'PUT', body: '{"a":1}', headers: { 'Content-Type': 'application/json' } };

  it('RFC 9110 §9.3.4: a PUT answered with a validator becomes the entry', async () => {
    origin.on('PUT /kept/11', { status: 204, fields: ['ETag', '"1"', ...FRESH] });
    await fetch(`${weir.url}/kept/11`, PUT);
    // The other worker finds the entry when it is on disk, and until then asks the origin, which does not
    // have it.
    await untilHit('/kept/11');
    const read = await get('/kept/11');
    expect(read.headers.get('etag')).toBe('"1"');
    expect(read.headers.get('content-type')).toBe('application/json');
    expect(await read.text()).toBe('{"a":1}');
  });

  it('RFC 9110 §9.3.4: a PUT answered without a validator does not become the entry', async () => {
    origin.on('PUT /kept/12', { status: 204, fields: FRESH });
    origin.on('GET /kept/12', { fields: FRESH, body: '{"a":2}' });
    await fetch(`${weir.url}/kept/12`, PUT);
    expect(await text(get('/kept/12'))).toBe('{"a":2}');
  });

  it('a PUT does not become the entry where the origin got a query that a GET would not have', async () => {
    origin.on('GET /plain/1', { fields: FRESH, body: 'of all' });
    origin.on('PUT /plain/1', { status: 204, fields: ['ETag', '"1"', ...FRESH] });
    await fetch(`${weir.url}/plain/1?part=2`, PUT);
    expect(await text(get('/plain/1'))).toBe('of all');
  });

  it('a PUT does not become the entry where its tags were invalidated meanwhile', async () => {
    origin.on('GET /kept/13', { fields: FRESH, body: 'another' });
    origin.on('PUT /kept/13', async () => {
      await weir.admin('/purge', { method: 'POST', body: JSON.stringify({ tags: ['kept:13'] }) });
      return { status: 204, fields: ['ETag', '"1"', ...FRESH] };
    });
    await fetch(`${weir.url}/kept/13`, PUT);
    expect(await text(get('/kept/13'))).toBe('another');
  });
});

// This test is the last one, because its hold continues.
describe('a write of unknown outcome', () => {
  it('keeps its hold over a restart', async () => {
    origin.on('GET /items/5', { fields: FRESH, body: 'old' });
    origin.on('PUT /items/5', async (request, answer) => {
      await request.received;
      answer.reset();
    });
    await text(get('/items/5'));
    const put = await fetch(`${weir.url}/items/5`, { method: 'PUT', body: 'new' });
    expect(put.status).toBe(502);
    await text(get('/items/5'));
    expect(cacheStatus(await get('/items/5'))).not.toContain('hit');
    await weir.kill();
    weir = await startWeir(yaml(), { folder: weir.folder });
    await text(get('/items/5'));
    expect(cacheStatus(await get('/items/5'))).not.toContain('hit');
  });
});
