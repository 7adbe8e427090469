import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OriginConfig } from '../../policies/config/config.ts';
import { failureOf } from '../../origin-adapters/http/failure.ts';
import type { Origin } from '../../origin-adapters/origin.ts';
import { gate, settle } from '../support/barrier.ts';
import { freePort } from '../support/free-port.ts';
import { startScriptedOrigin } from '../support/scripted-origin.ts';
import type { ScriptedAnswer, ScriptedOrigin } from '../support/scripted-origin.ts';
import { originOf, run, timeouts } from './exchange.ts';

let server: ScriptedOrigin;
let origins: Origin[];
beforeEach(async () => {
  origins = [];
  server = await startScriptedOrigin();
});
afterEach(async () => {
  await Promise.all(origins.map((origin) => origin.close(0)));
  await server.close();
});

function start(changes: Partial<OriginConfig> = {}, urls: readonly string[] = [server.url]): Origin {
  const origin = originOf(urls, changes);
  origins.push(origin);
  return origin;
}

describe('the limit on connections', () => {
  it('is never exceeded, and every request is answered', async () => {
    const held = gate();
    server.on('/a', (request) => held.promise.then(() => ({ body: request.url })));
    const origin = start({ connections: 3, queue: { size: 100, timeoutMs: 30_000 } });

    const running = Array.from({ length: 60 }, (_, i) => run(origin, `/a?${i}`).over);
    await server.seen('/a', 3);
    await settle();
    held.open();
    const answers = await Promise.all(running);

    expect(answers.map(({ body }) => body)).toEqual(answers.map((_, i) => `/a?${i}`));
    expect(server.maxRunning).toBe(3);
    expect(server.connections).toBe(3);
  });

  it('rejects a request at once when the queue is full', async () => {
    const held = gate();
    server.on('/a', () => held.promise.then(() => ({})));
    const origin = start({ connections: 1, queue: { size: 1, timeoutMs: 30_000 } });

    const running = [run(origin, '/a'), run(origin, '/a')];
    const refused = await run(origin, '/a').over;

    expect(refused.failure).toMatchObject({
      kind: 'connection_limit_reached',
      status: 503,
      maybeProcessed: false,
    });
    held.open();
    for (const { over } of running) expect((await over).status).toBe(200);
    expect(origin.stats).toMatchObject({ requests: 3, failures: 1, running: 0, queued: 0 });
  });

  it('fails a request that waited longer than the queue allows', async () => {
    const held = gate();
    server.on('/a', () => held.promise.then(() => ({})));
    const origin = start({ connections: 1, queue: { size: 5, timeoutMs: 10 } });

    const first = run(origin, '/a');
    expect((await run(origin, '/a').over).failure?.kind).toBe('connection_limit_reached');

    held.open();
    expect((await first.over).status).toBe(200);
    expect(server.count('/a')).toBe(1);
  });

  it("lets clients' requests go ahead of background requests and take their places in a full queue", async () => {
    const held = gate();
    server.on('/held', () => held.promise.then(() => ({})));
    const origin = start({ connections: 1, queue: { size: 2, timeoutMs: 30_000 } });

    const first = run(origin, '/held');
    const early = run(origin, '/background-early', { priority: 'background' });
    const late = run(origin, '/background-late', { priority: 'background' });
    const client = run(origin, '/client');
    expect((await late.over).failure?.kind).toBe('connection_limit_reached');
    held.open();
    await Promise.all([first.over, early.over, client.over]);

    expect(server.requests.map(({ url }) => url)).toEqual(['/held', '/client', '/background-early']);
  });
});

describe('a connection failure', () => {
  it('before the head is followed by the configured number of retries of a safe request', async () => {
    server.on('/once', (request, answer) => {
      if (server.count('/once') === 1) answer.reset();
      else answer.send(200, [], request.url);
    });
    server.on('/always', (_request, answer) => answer.reset());
    const origin = start({ retry: 2 });

    expect((await run(origin, '/once').over).body).toBe('/once');
    server.forget();
    const failed = await run(origin, '/always').over;

    expect(failed.failure).toMatchObject({
      kind: 'connection_terminated',
      status: 502,
      maybeProcessed: true,
    });
    // Two retries, and one for the connection that was kept alive.
    expect(server.count('/always')).toBe(4);
  });

  it('is not followed by a retry of a write that the origin may have processed', async () => {
    server.on('*', (_request, answer) => answer.reset());
    const origin = start({ retry: 3 });
    const heard = await run(origin, '/a', { method: 'PUT', body: Buffer.from('x') }).over;
    expect(heard.failure).toMatchObject({ kind: 'connection_terminated', maybeProcessed: true });
    await run(origin, '/a', { method: 'DELETE' }).over;
    expect(server.count()).toBe(2);
  });

  it('on a connection kept alive gives no client a 502, even without retries', async () => {
    const seen = new Set<number>();
    server.on('/a', (request, answer) => {
      if (seen.has(request.connection)) return answer.reset();
      seen.add(request.connection);
      answer.send(200, [], 'a');
    });
    const origin = start({ retry: 0 });

    for (let i = 0; i < 5; i++) expect((await run(origin, '/a').over).status).toBe(200);
  });

  it('at one URL is followed by a try at the next, also for a write, because nothing was sent', async () => {
    const origin = start({ retry: 1 }, [await refusingUrl(), server.url]);
    server.on('/a', { body: 'a' });

    for (const method of ['GET', 'PUT', 'GET', 'PUT']) {
      const heard = await run(origin, '/a', { method, body: method === 'PUT' ? Buffer.from('x') : null })
        .over;
      expect(heard.body).toBe('a');
    }
    expect(origin.stats.failures).toBe(0);
    expect(origin.stats.retries).toBeGreaterThan(0);
  });

  it('keeps the outcome unknown if an earlier attempt may have reached the origin', async () => {
    server.on('/a', (_request, answer) => answer.reset());
    const origin = start({ retry: 1 }, [server.url, await refusingUrl()]);
    expect((await run(origin, '/a').over).failure).toMatchObject({
      kind: 'connection_refused',
      maybeProcessed: true,
    });
  });

  it('at every URL is reported as connection_refused', async () => {
    const origin = start({ retry: 1 }, [await refusingUrl()]);
    expect((await run(origin, '/a').over).failure).toMatchObject({
      kind: 'connection_refused',
      status: 502,
      maybeProcessed: false,
    });
  });

  it('does not occur while requests are spread evenly over the URLs', async () => {
    const other = await startScriptedOrigin({ body: 'other' });
    const origin = start({}, [server.url, other.url]);
    for (let i = 0; i < 6; i++) await run(origin, '/a').over;
    expect([server.count(), other.count()]).toEqual([3, 3]);
    await other.close();
  });
});

describe('a timeout', () => {
  it('for the response head is a 504 and is not retried', async () => {
    server.on('/a', (_request, answer) => answer.gone);
    const origin = start({ timeouts: { ...timeouts, headersMs: 20 } });
    expect((await run(origin, '/a').over).failure).toMatchObject({
      kind: 'http_response_timeout',
      status: 504,
      maybeProcessed: true,
    });
    await server.seen('/a');
    expect(server.count()).toBe(1);
  });

  it('for a request that the origin does not read is a 504', async () => {
    server.on('/a', (request, answer) => {
      request.node.pause();
      return answer.gone;
    });
    const origin = start({ timeouts: { ...timeouts, headersMs: 20 } });
    const endless = new Readable({ read: () => void endless.push(Buffer.alloc(64 * 1024)) });
    const heard = await run(origin, '/a', { method: 'POST', body: endless }).over;
    expect(heard.failure).toMatchObject({ kind: 'connection_write_timeout', status: 504 });
  });

  it('between two chunks of the body does not apply to event streams, unbounded or paused calls', async () => {
    const timedOut = gate();
    const begin = (type: string) => async (_request: unknown, answer: ScriptedAnswer) => {
      answer.head(200, ['Content-Type', type]);
      void answer.write('begun.');
      await timedOut.promise;
      void answer.write('done.');
      answer.end();
    };
    server.on('/text', begin('text/plain'));
    server.on('/events', begin('text/event-stream'));
    const origin = start({ timeouts: { ...timeouts, bodyMs: 300 } });

    const events = run(origin, '/events');
    const unbounded = run(origin, '/text', { unboundedBody: true });
    const paused = run(origin, '/text', { onData: (call) => call.pause() });
    await Promise.all([events.head, unbounded.head, paused.head]);
    const bounded = await run(origin, '/text').over;
    timedOut.open();
    paused.call.resume();

    expect(bounded.failure).toMatchObject({ kind: 'connection_read_timeout', status: 504 });
    expect((await events.over).body).toBe('begun.done.');
    expect((await unbounded.over).body).toBe('begun.done.');
    expect(paused.heard.failure).toBeNull();
    paused.call.abort();
  });
});

describe('a response that is not HTTP', () => {
  it('is a failure of its own kind', async () => {
    server.on('/garbage', (_request, answer) => answer.raw('220 smtp ready\r\n'));
    server.on('/headers', (_request, answer) =>
      answer.raw(`HTTP/1.1 200 OK\r\nX-Long: ${'a'.repeat(70_000)}\r\n\r\n`),
    );
    const origin = start();
    expect((await run(origin, '/garbage').over).failure?.kind).toBe('http_protocol_error');
    expect((await run(origin, '/headers').over).failure?.kind).toBe('http_response_header_section_size');
  });

  it('is not read as two responses if extra bytes follow the first', async () => {
    server.on('/a', (_request, answer) =>
      answer.raw(
        'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb',
      ),
    );
    server.on('/b', { body: 'own' });
    const origin = start({ connections: 1 });
    expect((await run(origin, '/a').over).body).toBe('a');
    expect((await run(origin, '/b').over).body).toBe('own');
  });
});

describe('a response with an invalid head', () => {
  it.each([
    ['RFC 9112 §6.3: two lengths', '200 OK', 'Content-Length: 5\r\nContent-Length: 6'],
    ['RFC 9112 §6.3: a list of lengths', '200 OK', 'Content-Length: 5, 6'],
    [
      'RFC 9112 §6.3: a length and chunked coding',
      '200 OK',
      'Content-Length: 5\r\nTransfer-Encoding: chunked',
    ],
    ['RFC 9112 §7: a transfer coding that was not requested', '200 OK', 'Transfer-Encoding: gzip, chunked'],
    ['RFC 9112 §6.3: a final transfer coding other than chunked', '200 OK', 'Transfer-Encoding: gzip'],
    [
      'RFC 9112 §7.1: chunked coding twice',
      '200 OK',
      'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked',
    ],
    ['RFC 9110 §15.4.5: a 304 to an unconditional request', '304 Not Modified', 'ETag: "1"'],
  ])('%s is a failure, and its connection is not used again', async (_, status, fields) => {
    server.on('/a', (_request, answer) =>
      answer.raw(`HTTP/1.1 ${status}\r\n${fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n`),
    );
    server.on('/b', { body: 'own' });
    const origin = start({ connections: 1 });
    const heard = await run(origin, '/a').over;
    expect(heard).toMatchObject({ status: null, failure: { kind: 'http_protocol_error', status: 502 } });
    expect((await run(origin, '/b').over).body).toBe('own');
    expect(server.requests.map(({ connection }) => connection)).toEqual([1, 2]);
  });

  it('does not include one with an unregistered transfer coding, whose content ends with the connection', async () => {
    server.on('/a', (_request, answer) => {
      answer.raw('HTTP/1.1 200 OK\r\nTransfer-Encoding: none-such\r\n\r\nas it is');
      answer.cut();
    });
    expect(await run(start(), '/a').over).toMatchObject({ status: 200, body: 'as it is', failure: null });
  });

  it('does not include a 304 to a conditional request, or a coded response without content', async () => {
    server.on('/a', (_request, answer) => answer.raw('HTTP/1.1 304 Not Modified\r\n\r\n'));
    server.on('/b', (_request, answer) =>
      answer.raw('HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'),
    );
    const origin = start();
    for (const name of ['If-None-Match', 'If-Modified-Since']) {
      expect((await run(origin, '/a', { fields: [name, 'x'] }).over).status).toBe(304);
    }
    expect((await run(origin, '/b', { method: 'HEAD' }).over).status).toBe(200);
  });
});

describe('closing an origin', () => {
  it('waits for running calls up to the time limit, and ends them then', async () => {
    const held = gate();
    server.on('/held', () => held.promise.then(() => ({ body: 'done' })));
    server.on('/never', (_request, answer) => answer.gone);
    const patient = start();
    const impatient = start();

    const waited = run(patient, '/held');
    const ended = run(impatient, '/never');
    await server.seen('*', 2);
    const closed = patient.close(5_000);
    await impatient.close(0);
    expect((await ended.over).failure).toMatchObject({ kind: 'connection_terminated', maybeProcessed: true });
    held.open();
    expect((await waited.over).body).toBe('done');
    await closed;

    expect((await run(patient, '/late').over).failure?.maybeProcessed).toBe(false);
  });
});

describe('the kind of a failure', () => {
  it.each([
    ['ENOTFOUND', 'dns_error', 502],
    ['EAI_AGAIN', 'dns_timeout', 504],
    ['EHOSTUNREACH', 'destination_ip_unroutable', 502],
    ['UND_ERR_CONNECT_TIMEOUT', 'connection_timeout', 504],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'tls_protocol_error', 502],
    ['ECONNRESET', 'destination_unavailable', 503],
  ])('for %s while connecting is %s', (code, kind, status) => {
    const failure = failureOf(Object.assign(new Error('x'), { code }), 'connecting');
    expect(failure).toMatchObject({ kind, status, maybeProcessed: false });
  });

  it('is that of the single errors where a name has several addresses', () => {
    const refused = Object.assign(new Error('x'), { code: 'ECONNREFUSED' });
    expect(failureOf(new AggregateError([refused]), 'connecting').kind).toBe('connection_refused');
  });
});

async function refusingUrl(): Promise<string> {
  return `http://127.0.0.1:${await freePort()}`;
}
