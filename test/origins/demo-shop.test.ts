import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createChangeLog } from '../../origin-adapters/demo/change-log.ts';
import { startDemoShop } from '../../origin-adapters/demo/shop.ts';
import type { DemoShop } from '../../origin-adapters/demo/shop.ts';

let shop: DemoShop;
beforeEach(async () => {
  shop = await startDemoShop({ port: 0, delayMs: 0 });
});
afterEach(() => shop.close());

const lamp = { name: 'Lamp', category: 'lighting', priceCents: 100, stock: 1 };

describe('the demo shop', () => {
  it('serves a product with fields that allow caching and invalidation', async () => {
    const response = await ask('GET', '/products/1');
    expect(response.status).toBe(200);
    expect(response.headers.get('cache-control')).toContain('max-age=60');
    expect(response.headers.get('surrogate-key')).toBe('product:1 category:furniture');
    expect(response.headers.get('etag')).toMatch(/^"[\w-]+"$/);
    expect(Date.parse(response.headers.get('last-modified')!)).toBeLessThanOrEqual(Date.now());
    expect(await response.json()).toMatchObject({ id: '1', name: 'Oak desk' });
  });

  it('answers 304 to the current ETag and date only', async () => {
    const { headers } = await ask('GET', '/products/1');
    const etag = headers.get('etag')!;
    expect((await ask('GET', '/products/1', { 'If-None-Match': `"x", W/${etag}` })).status).toBe(304);
    expect((await ask('GET', '/products/1', { 'If-None-Match': '"x"' })).status).toBe(200);
    const since = headers.get('last-modified')!;
    expect((await ask('GET', '/products/1', { 'If-Modified-Since': since })).status).toBe(304);
    expect((await ask('GET', '/products/1', { 'If-Modified-Since': new Date(0).toUTCString() })).status).toBe(
      200,
    );
  });

  it('changes the ETag with the product', async () => {
    const before = (await ask('GET', '/products/1')).headers.get('etag');
    await ask('PATCH', '/products/1', {}, { stock: 3 });
    const after = await ask('GET', '/products/1');
    expect(after.headers.get('etag')).not.toBe(before);
    expect(await after.json()).toMatchObject({ name: 'Oak desk', stock: 3 });
  });

  it('creates, replaces and deletes products', async () => {
    const created = await ask('POST', '/products', {}, lamp);
    expect(created.status).toBe(201);
    const place = created.headers.get('location')!;
    expect((await ask('GET', place)).status).toBe(200);
    expect((await ask('PUT', place, {}, { ...lamp, stock: 9 })).status).toBe(200);
    expect((await ask('PUT', '/products/own-id', {}, lamp)).status).toBe(201);
    expect((await ask('DELETE', place)).status).toBe(204);
    const gone = await ask('GET', place);
    expect(gone.status).toBe(404);
    expect(gone.headers.get('content-type')).toBe('application/problem+json');
    expect(gone.headers.get('surrogate-key')).toBe(`product:${place.split('/')[2]}`);
  });

  it('RFC 9110 §9.3.4: sends a validator with a write only if it stored the content unchanged', async () => {
    expect((await ask('PUT', '/products/a', {}, lamp)).headers.get('etag')).toBeNull();
    const exact = await ask('PUT', '/products/a', {}, { id: 'a', ...lamp });
    expect(exact.headers.get('etag')).toBe((await ask('GET', '/products/a')).headers.get('etag'));
  });

  it('evaluates the preconditions of writes', async () => {
    const etag = (await ask('GET', '/products/1')).headers.get('etag')!;
    expect((await ask('PUT', '/products/1', { 'If-Match': '"x"' }, lamp)).status).toBe(412);
    expect((await ask('PUT', '/products/1', { 'If-None-Match': '*' }, lamp)).status).toBe(412);
    expect((await ask('DELETE', '/products/none', { 'If-Match': '*' })).status).toBe(412);
    expect((await ask('PUT', '/products/1', { 'If-Match': etag }, lamp)).status).toBe(200);
  });

  it('rejects invalid requests with a problem document', async () => {
    expect((await ask('PUT', '/products/1', {}, { name: '' })).status).toBe(422);
    expect((await ask('POST', '/products', {}, [])).status).toBe(422);
    expect((await ask('POST', '/products', {}, { name: 'x'.repeat(70_000) })).status).toBe(413);
    const method = await ask('DELETE', '/search');
    expect([method.status, method.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    expect((await ask('GET', '/none')).headers.get('content-type')).toBe('application/problem+json');
  });

  it('lists by category, searches, and generates images of three sizes', async () => {
    const lamps = (await (await ask('GET', '/products?category=lighting')).json()) as unknown[];
    expect(lamps).toHaveLength(2);
    expect(await (await ask('GET', '/search?q=LAMP')).json()).toHaveLength(2);
    const bytes = [];
    for (const size of ['small', 'medium', 'large']) {
      bytes.push((await (await ask('GET', `/images/1?size=${size}`)).arrayBuffer()).byteLength / 1024);
    }
    expect(bytes.map(Math.round)).toEqual([4, 64, 1027]);
    expect((await ask('GET', '/images/1?size=huge')).status).toBe(400);
  });

  it('accepts any text in a product without breaking its own fields', async () => {
    await ask('PUT', '/products/odd', {}, { ...lamp, category: 'böse\r\n\ud800' });
    expect((await ask('GET', '/products/odd')).status).toBe(200);
  });

  it("varies its front page by the client's preferences", async () => {
    const html = await ask('GET', '/', { Accept: 'text/html' });
    const json = await ask('GET', '/', { Accept: 'application/json' });
    expect(html.headers.get('vary')).toBe('Accept');
    expect(await html.text()).toContain('/products/1');
    expect(json.headers.get('content-type')).toBe('application/json');
  });

  it('answers HEAD like GET, without the content', async () => {
    const get = await ask('GET', '/products/1');
    const head = await ask('HEAD', '/products/1');
    expect(head.headers.get('etag')).toBe(get.headers.get('etag'));
    expect(head.headers.get('content-length')).toBe(get.headers.get('content-length'));
  });
});

describe("the demo shop's change feed", () => {
  it('begins at the head and sends every transaction with the rows before and after', async () => {
    const feed = await follow();
    expect(await feed.next()).toMatchObject({ event: 'head' });

    await ask('PATCH', '/products/1', {}, { stock: 3 });
    await ask('POST', '/products', {}, [lamp, lamp]);
    await ask('DELETE', '/products/2');

    const update = await feed.next();
    expect(update?.data).toMatchObject({
      table: 'products',
      op: 'update',
      id: '1',
      before: { stock: 4 },
      after: { stock: 3 },
    });
    expect((await feed.next())?.data).toMatchObject([{ op: 'insert' }, { op: 'insert' }]);
    expect((await feed.next())?.data).toMatchObject({ op: 'delete', before: { id: '2' }, after: null });
    await feed.end();
  });

  it("replays what came after the follower's last event, then sends its head", async () => {
    const first = await follow();
    const start = (await first.next())!.id;
    await first.end();
    await ask('PATCH', '/products/1', {}, { stock: 1 });
    await ask('PATCH', '/products/1', {}, { stock: 2 });

    const again = await follow(start);
    expect((await again.next())?.data).toMatchObject({ after: { stock: 1 } });
    const last = await again.next();
    expect(last?.data).toMatchObject({ after: { stock: 2 } });
    expect(await again.next()).toMatchObject({ event: 'head', id: last!.id });
    await again.end();
  });

  it.each(['0', '999999999999999', 'words', '-1', '1.5'])(
    "sends a reset after %s, from which it can't replay",
    async (id) => {
      const feed = await follow(id);
      expect(await feed.next()).toMatchObject({ event: 'reset' });
      expect(await feed.next()).toMatchObject({ event: 'head' });
      await feed.end();
    },
  );

  it('keeps no more than its limit, and never replays from where it is incomplete', () => {
    const log = createChangeLog(2);
    const start = log.head;
    for (let i = 0; i < 3; i++) log.append([]);
    expect(log.after(start)).toBeNull();
    expect(log.after(start + 1)?.map(({ id }) => id - start)).toEqual([2, 3]);
    expect(log.after(start + 3)).toEqual([]);
    expect(log.after(start + 4)).toBeNull();
  });
});

function ask(
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: unknown,
): Promise<Response> {
  return fetch(shop.url + path, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

interface FeedEvent {
  readonly event: string;
  readonly id: string;
  readonly data: unknown;
}

async function follow(
  lastEventId?: string,
): Promise<{ next(): Promise<FeedEvent | undefined>; end(): Promise<void> }> {
  const headers: Record<string, string> = lastEventId === undefined ? {} : { 'Last-Event-ID': lastEventId };
  const response = await ask('GET', '/changes', headers);
  const events = readEvents(response.body!);
  return {
    next: async () => (await events.next()).value as FeedEvent | undefined,
    end: async () => void (await events.return(undefined)),
  };
}

async function* readEvents(stream: ReadableStream<Uint8Array>): AsyncGenerator<FeedEvent, undefined> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const block = text.slice(0, end);
      text = text.slice(end + 2);
      if (!block.startsWith(':')) yield parseEvent(block);
    }
  }
  return undefined;
}

function parseEvent(block: string): FeedEvent {
  const lines = new Map(block.split('\n').map((line) => line.split(/: (.*)/s, 2) as [string, string]));
  return {
    event: lines.get('event') ?? 'message',
    id: lines.get('id') ?? '',
    data: JSON.parse(lines.get('data') ?? 'null'),
  };
}
