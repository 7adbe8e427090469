import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fieldValue, fieldValues } from '../../policies/http/fields.ts';
import type { Origin } from '../../origin-adapters/origin.ts';
import { gate, settle, until } from '../support/barrier.ts';
import { startScriptedOrigin } from '../support/scripted-origin.ts';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import { originOf, run } from './exchange.ts';

let server: ScriptedOrigin;
let origin: Origin;
beforeEach(async () => {
  server = await startScriptedOrigin();
  origin = originOf([server.url]);
});
afterEach(async () => {
  await origin.close(0);
  await server.close();
});

describe('a request', () => {
  it('returns the raw fields of the response in order, with repeated ones apart', async () => {
    server.on('/a', {
      fields: ['Set-Cookie', 'a=1', 'X-Latin', 'h\xe9', 'set-cookie', 'b=2'],
      body: 'whole',
    });

    const heard = await run(origin, '/a?q=1', { fields: ['X-Ask', 'h\xe9', 'X-Ask', 'two'] }).over;

    expect(heard.status).toBe(200);
    expect(heard.body).toBe('whole');
    expect(heard.trailers).toEqual([]);
    expect(heard.fields.slice(0, 6)).toEqual(['Set-Cookie', 'a=1', 'X-Latin', 'h\xe9', 'set-cookie', 'b=2']);
    expect(server.requests[0]?.url).toBe('/a?q=1');
    expect(fieldValues(server.requests[0]!.fields, 'x-ask')).toEqual(['h\xe9', 'two']);
  });

  it("has the origin's own host, or the client's where its fields contain one", async () => {
    await run(origin, '/a').over;
    await run(origin, '/a', { fields: ['Host', 'shop.example'] }).over;

    expect(server.requests.map((request) => request.headers.host)).toEqual([
      server.url.slice('http://'.length),
      'shop.example',
    ]);
  });

  it('is sent without fields of the connection and without a wrong length', async () => {
    await run(origin, '/a', {
      fields: [
        'Connection',
        'x-gone',
        'Keep-Alive',
        'timeout=1',
        'Transfer-Encoding',
        'chunked',
        'Expect',
        '100-continue',
        'Content-Length',
        '7',
      ],
    }).over;

    const { fields } = server.requests[0]!;
    expect(fieldValue(fields, 'connection')).toBe('keep-alive');
    for (const name of ['keep-alive', 'transfer-encoding', 'expect', 'content-length']) {
      expect(fieldValue(fields, name)).toBeUndefined();
    }
  });

  it('returns the content undecoded', async () => {
    server.on('/a', { fields: ['Content-Encoding', 'gzip'], body: 'not really gzip' });
    expect((await run(origin, '/a').over).body).toBe('not really gzip');
  });

  it('passes on interim responses before the final one', async () => {
    server.on('/a', (_request, answer) => {
      answer.inform(103, ['Link', '</a.css>; rel=preload']);
      answer.send(200, [], 'final');
    });

    const heard = await run(origin, '/a').over;

    expect(heard.informational).toEqual([{ status: 103, fields: ['Link', '</a.css>; rel=preload'] }]);
    expect(heard.body).toBe('final');
  });

  it.each([[1_000], [1], [7]])(
    'RFC 9110 §15.2: does not pass on 100 (Continue) in pieces of %i bytes',
    async (size) => {
      const bytes = `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Again\r\nX-A: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\nHTTP/1.1 100 no.`;
      server.on('/a', async (_request, answer) => {
        for (let at = 0; at < bytes.length; at += size) {
          answer.raw(bytes.slice(at, at + size));
          await settle(1);
        }
      });

      const heard = await run(origin, '/a').over;

      expect(heard).toMatchObject({
        informational: [],
        status: 200,
        body: 'HTTP/1.1 100 no.',
        failure: null,
      });
    },
  );

  it.each([[1_000], [1], [7]])(
    'does not pass on 100 (Continue) after another interim response, in pieces of %i bytes',
    async (size) => {
      const interim = 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n';
      const bytes = `${interim}${interim}HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na`;
      server.on('/a', async (_request, answer) => {
        for (let at = 0; at < bytes.length; at += size) {
          answer.raw(bytes.slice(at, at + size));
          await settle(1);
        }
      });
      const hint = { status: 103, fields: ['Link', '</a>'] };
      expect(await run(origin, '/a').over).toMatchObject({
        informational: [hint, hint],
        status: 200,
        body: 'a',
        failure: null,
      });
    },
  );

  it('returns trailers', async () => {
    server.on('/a', (_request, answer) => {
      answer.head(200, ['Trailer', 'X-Sum']);
      void answer.write('body');
      answer.end(['X-Sum', '4']);
    });
    expect((await run(origin, '/a').over).trailers).toEqual(['X-Sum', '4']);
  });

  it('uses the same connection as those before', async () => {
    server.on('/a', { body: 'a' });
    for (let i = 0; i < 5; i++) await run(origin, '/a').over;
    expect(server.connections).toBe(1);
  });
});

describe("a request's body", () => {
  it('is streamed with its length where that is known, and chunked otherwise', async () => {
    server.on('PUT /a', async (request) => ({ body: await request.received }));

    const sized = await run(origin, '/a', {
      method: 'PUT',
      fields: ['Content-Length', '5'],
      body: Readable.from([Buffer.from('he'), Buffer.from('llo')], { objectMode: false }),
    }).over;
    const unsized = await run(origin, '/a', {
      method: 'PUT',
      body: Readable.from([Buffer.from('chu'), Buffer.from('nked')], { objectMode: false }),
    }).over;
    const whole = await run(origin, '/a', { method: 'PUT', body: Buffer.from('whole') }).over;

    expect([sized.body, unsized.body, whole.body]).toEqual(['hello', 'chunked', 'whole']);
    expect(server.requests.map(({ headers }) => headers['content-length'])).toEqual(['5', undefined, '5']);
    expect(server.requests[1]?.headers['transfer-encoding']).toBe('chunked');
  });

  it('that is incomplete ends the request at the origin, and the call with a failure', async () => {
    const body = new Readable({ read: () => undefined });
    const running = run(origin, '/a', { method: 'PUT', fields: ['Content-Length', '10'], body });
    server.on('PUT /a', async (request) => ({ body: await request.received.catch(() => 'cut') }));
    body.push('five.');
    await server.seen('PUT /a');
    body.destroy(new Error('client left'));

    const heard = await running.over;

    expect(heard.failure).toMatchObject({ kind: 'proxy_internal_error', status: 502, maybeProcessed: true });
    await expect(server.requests[0]!.received).rejects.toThrow('client left before');
  });

  it('that is incomplete while the call waits for a connection ends it before the origin sees it', async () => {
    await origin.close(0);
    origin = originOf([server.url], { connections: 1 });
    const held = gate();
    server.on('/held', () => held.promise.then(() => ({})));
    const first = run(origin, '/held');
    const body = new Readable({ read: () => undefined });
    const running = run(origin, '/a', { method: 'PUT', body });
    body.destroy(new Error('client left'));

    expect((await running.over).failure?.maybeProcessed).toBe(false);
    held.open();
    expect((await first.over).status).toBe(200);
    expect(server.count('/a')).toBe(0);
  });
});

describe('a paused call', () => {
  it('keeps received content in bounded memory, and resumes', async () => {
    const total = 32 * 1024 * 1024;
    let written = 0;
    server.on('/big', async (_request, answer) => {
      answer.head(200, ['Content-Length', String(total)]);
      const chunk = Buffer.alloc(64 * 1024);
      for (; written < total; written += chunk.length) await answer.write(chunk);
      answer.end();
    });

    const running = run(origin, '/big', { onData: (call) => call.pause() });
    await running.head;
    await settle(200);
    const heardWhilePaused = running.heard.bytes;

    expect(heardWhilePaused).toBeLessThan(256 * 1024);
    expect(written).toBeLessThan(total);
    let over = false;
    void running.over.then(() => (over = true));
    await until(() => {
      running.call.resume();
      return over;
    });
    expect(running.heard.bytes).toBe(total);
    expect(running.heard.failure).toBeNull();
  });
});

describe('an aborted call', () => {
  it('calls its handler no more, frees its connection, and ends the request at the origin', async () => {
    await origin.close(0);
    origin = originOf([server.url], { connections: 1 });
    const gone = gate();
    server.on('/slow', async (_request, answer) => {
      await answer.gone;
      gone.open();
    });
    server.on('/next', { body: 'next' });

    const slow = run(origin, '/slow');
    await server.seen('/slow');
    const next = run(origin, '/next');
    expect(origin.stats).toMatchObject({ running: 1, queued: 1 });
    slow.call.abort();

    expect((await next.over).body).toBe('next');
    await gone.promise;
    expect(slow.heard).toMatchObject({ status: null, failure: null });
    expect(origin.stats).toMatchObject({ requests: 2, failures: 0, running: 0, queued: 0 });
  });

  it('leaves the queue', async () => {
    await origin.close(0);
    origin = originOf([server.url], { connections: 1 });
    const held = gate();
    server.on('/held', () => held.promise.then(() => ({})));
    const first = run(origin, '/held');
    const waiting = run(origin, '/never');
    waiting.call.abort();
    expect(origin.stats.queued).toBe(0);
    held.open();
    await first.over;
    await run(origin, '/last').over;
    expect(server.count('/never')).toBe(0);
  });
});

describe('an incomplete response', () => {
  it.each([
    ['shorter than its Content-Length', ['Content-Length', '10']],
    ['cut inside the chunked coding', []],
  ])('that is %s is a failure', async (_name, fields) => {
    server.on('/a', (_request, answer) => {
      answer.head(200, fields);
      void answer.write('five.');
      answer.cut();
    });

    const heard = await run(origin, '/a').over;

    expect(heard.status).toBe(200);
    expect(heard.trailers).toBeNull();
    expect(heard.failure).toMatchObject({
      kind: 'http_response_incomplete',
      status: 502,
      maybeProcessed: true,
    });
  });

  it('that is reset is a failure; one that ends with an orderly close is complete', async () => {
    const arrived = gate();
    server.on('/reset', async (_request, answer) => {
      answer.raw('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfive.');
      await arrived.promise;
      answer.reset();
    });
    server.on('/closed', (_request, answer) => {
      answer.raw('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfive.');
      answer.cut();
    });

    const reset = await run(origin, '/reset', { onData: () => arrived.open() }).over;
    const closed = await run(origin, '/closed').over;

    expect(reset.failure?.kind).toBe('http_response_incomplete');
    expect(closed).toMatchObject({ failure: null, body: 'five.', trailers: [] });
  });
});
