import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createAdminApp } from '../../proxy/admin/app.ts';
import type { AdminDependencies, EntryReport } from '../../proxy/admin/dependencies.ts';
import { startAdmin } from '../../proxy/admin/server.ts';
import type { AdminLimits } from '../../policies/config/config.ts';
import { newFeedCounts } from '../../proxy/feeds/status.ts';
import { logTo } from '../../proxy/observability/logger.ts';
import { configOf } from '../config/load.ts';
import { NO_WRITES } from '../writes/no-writes.ts';

const CONFIG = configOf(`
origins: { shop: { url: 'http://127.0.0.1:1' } }
routes: [{ name: every, match: /*, cache: { key: { query: none } } }]
`);

const ENTRY: EntryReport = {
  id: '0123456789abcdef',
  status: 200,
  vary: {},
  tags: ['all'],
  age: 3,
  freshFor: 57,
  floor: 4,
  size: 12,
  levels: ['memory'],
  usable: true,
  why: 'fresh',
};

const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

interface Invalidated {
  tags: readonly string[];
  mode: string;
}

/** A real listener in front of a coordinator with these answers. */
async function admin(given: Partial<AdminDependencies> = {}, limits: Partial<AdminLimits> = {}) {
  const invalidated: Invalidated[] = [];
  const lines: string[] = [];
  const deps: AdminDependencies = {
    token: '',
    log: logTo({ write: (line) => void lines.push(line) }, 'info', 'test'),
    onRefused: () => {},
    config: () => CONFIG,
    stats: async () => ({ workers: 2 }),
    metrics: async () => '# HELP weir_up 1\n',
    ready: async () => ({ ready: true, reasons: [] }),
    problems: () => [],
    invalidate: async (tags, mode) => {
      invalidated.push({ tags, mode });
      return { kind: 'done', sequence: 7 };
    },
    findEntries: async () => ({ entries: 1, sample: ['/a'], complete: true }),
    entries: async () => ({ kind: 'report', report: { key: 'shop\n\n/a', entries: [ENTRY] } }),
    feeds: () => [],
    writes: NO_WRITES,
    ...given,
  };
  const started = await startAdmin({
    host: '127.0.0.1',
    port: 0,
    app: createAdminApp(deps),
    limits: { ...CONFIG.admin.limits, ...limits },
  });
  if (started.kind === 'failed') throw new Error(started.reason);
  closing.push(() => started.close());
  const ask = async (method: string, path: string, body?: string, headers: Record<string, string> = {}) => {
    const url = `http://127.0.0.1:${started.port}${path}`;
    const all = { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers };
    const response = await fetch(url, { method, headers: all, ...(body === undefined ? {} : { body }) });
    const text = await response.text();
    const type = response.headers.get('content-type') ?? '';
    const json: unknown = type.includes('json') && text !== '' ? JSON.parse(text) : null;
    return { status: response.status, headers: response.headers, type, text, json };
  };
  const purge = (body: unknown) => ask('POST', '/purge', JSON.stringify(body));
  return { ask, purge, invalidated, lines, port: started.port };
}

describe('POST /purge', () => {
  it('answers with the sequence after the purge', async () => {
    const { purge, invalidated } = await admin();
    const answer = await purge({ urls: ['/a?x=1'], tags: ['t'] });
    expect(answer).toMatchObject({ status: 200, json: { sequence: 7, tags: 3 } });
    expect(invalidated).toEqual([{ tags: ['url:/a?x=1', 'url:/a', 'tag:t'], mode: 'hard' }]);
  });

  it('is soft where the request says so', async () => {
    const { purge, invalidated } = await admin();
    await purge({ all: true, mode: 'soft' });
    expect(invalidated).toEqual([{ tags: ['all'], mode: 'soft' }]);
  });

  it('only counts in a dry run', async () => {
    const { purge, invalidated } = await admin();
    const answer = await purge({ all: true, dryRun: true });
    expect(answer).toMatchObject({ status: 200, json: { entries: 1, sample: ['/a'], complete: true } });
    expect(invalidated).toEqual([]);
  });

  it('warns, if it has to look, where no entry has what is purged', async () => {
    const { ask, purge } = await admin({
      findEntries: async () => ({ entries: 0, sample: [], complete: true }),
    });
    expect((await purge({ tags: ['t'] })).json).toEqual({ sequence: 7, tags: 1 });
    expect((await ask('POST', '/purge?count=true', '{"tags":["t"]}')).json).toEqual({
      sequence: 7,
      tags: 1,
      warnings: ['no stored entry has what was purged'],
    });
  });

  it('warns where a host means every entry of an origin that does not distinguish hosts', async () => {
    const { purge } = await admin();
    expect((await purge({ hosts: ['nosuch.example'] })).json).toMatchObject({
      sequence: 7,
      warnings: [expect.stringContaining('hosts: every entry of the origin')],
    });
  });

  it.each([
    ['not JSON', '{', 'expected a JSON object, got something that is not JSON'],
    ['a list', '[]', 'expected a JSON object'],
    ['nothing', '', 'expected a JSON object, got something that is not JSON'],
    [
      'an empty object',
      '{}',
      'expected at least one of urls, tags, prefixes, hosts, routes or all, got nothing to purge',
    ],
    [
      'an unknown key',
      '{"url":["/a"]}',
      'expected one of urls, tags, prefixes, hosts, routes, all, mode, dryRun, got the key "url"',
    ],
    ['a text instead of a list', '{"tags":"a"}', 'tags: expected a list of strings'],
    ['a number instead of a text', '{"tags":["a",1]}', 'tags[1]: expected a string'],
    ['an unknown mode', '{"all":true,"mode":"firm"}', 'mode: expected "hard" or "soft"'],
    [
      'a URL without a slash',
      '{"urls":["a"]}',
      'urls[0]: expected a path that begins with / or an absolute http(s) URL, got "a"',
    ],
    ['a wildcard in a host', '{"hosts":["*.a"]}', 'hosts[0]: expected one host without wildcards, got "*.a"'],
  ])('answers what it expected instead of %s', async (_, body, detail) => {
    const { ask, invalidated } = await admin();
    const answer = await ask('POST', '/purge', body);
    expect(answer.type).toBe('application/problem+json');
    expect(answer.json).toEqual({ type: 'about:blank', title: 'Bad Request', status: 400, detail });
    expect(answer.status).toBe(400);
    expect(invalidated).toEqual([]);
  });

  it.each([
    ['with its length', (body: string) => body],
    ['without its length', (body: string) => new Blob([body]).stream()],
  ])('rejects a body beyond its limit, and none within it, %s', async (_, sent) => {
    const { port, invalidated } = await admin();
    const url = `http://127.0.0.1:${port}/purge`;
    const purge = (tag: string) =>
      fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: sent(JSON.stringify({ tags: [tag] })),
        duplex: 'half',
      });
    const length = CONFIG.admin.limits.bodyBytes - '{"tags":[""]}'.length;
    const refused = await purge('x'.repeat(length + 1));
    expect(refused.headers.get('content-type')).toBe('application/problem+json');
    expect(refused.status).toBe(413);
    expect(invalidated).toEqual([]);
    expect((await purge('x'.repeat(length))).status).toBe(200);
    expect(invalidated).toHaveLength(1);
  });

  it('is 503 where it could not be made durable', async () => {
    const { purge } = await admin({ invalidate: async () => ({ kind: 'not-durable', detail: 'disk full' }) });
    const answer = await purge({ all: true });
    expect(answer).toMatchObject({
      status: 503,
      json: { title: 'Service Unavailable', detail: 'disk full' },
    });
  });
});

describe('the token', () => {
  it.each([
    ['no token', {}],
    ['another token', { authorization: 'Bearer secreT' }],
    ['another scheme', { authorization: 'Basic secret' }],
    ['a token and more', { authorization: 'Bearer secret x' }],
  ])('is required, and its absence is counted: %s', async (_, headers) => {
    const refused: string[] = [];
    const { ask } = await admin({ token: 'secret', onRefused: (reason) => refused.push(reason) });
    for (const path of ['/stats', '/nowhere']) {
      const answer = await ask('GET', path, undefined, headers);
      expect(answer).toMatchObject({ status: 401, type: 'application/problem+json' });
      expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="weir"');
    }
    expect(refused).toEqual(['token', 'token']);
  });

  it('gives access, whatever the case of its scheme', async () => {
    const { ask } = await admin({ token: 'secret' });
    const answer = await ask('GET', '/stats', undefined, { authorization: 'bearer secret' });
    expect(answer).toMatchObject({ status: 200, json: { workers: 2 } });
  });

  it('is required of a web page, because any page could purge otherwise', async () => {
    const headers = { origin: 'http://evil.example' };
    const unguarded = await admin();
    expect(await unguarded.ask('POST', '/purge', '{"all":true}', headers)).toMatchObject({ status: 403 });
    expect(unguarded.invalidated).toEqual([]);
    const guarded = await admin({ token: 'secret' });
    const authorized = { ...headers, authorization: 'Bearer secret' };
    expect(await guarded.ask('POST', '/purge', '{"all":true}', authorized)).toMatchObject({ status: 200 });
  });

  it('is not required for the health checks', async () => {
    const { ask } = await admin({ token: 'secret' });
    expect((await ask('GET', '/healthz')).status).toBe(200);
    expect((await ask('GET', '/readyz')).status).toBe(200);
  });
});

describe('the admin side shows', () => {
  it('metrics in the text format', async () => {
    const { ask } = await admin();
    const answer = await ask('GET', '/metrics');
    expect(answer.type).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(answer.text).toBe('# HELP weir_up 1\n');
  });

  it('why Weir is not ready', async () => {
    const { ask } = await admin({
      ready: async () => ({ ready: false, reasons: ['1 of 2 workers listens'] }),
    });
    const answer = await ask('GET', '/readyz');
    expect(answer).toMatchObject({
      status: 503,
      json: { ready: false, reasons: ['1 of 2 workers listens'] },
    });
  });

  it('the entries of a URL, for a request with the given fields', async () => {
    const asked: unknown[] = [];
    const { ask } = await admin({
      entries: async (place, fields) => {
        asked.push({ place, fields });
        return { kind: 'report', report: { key: 'k', entries: [ENTRY] } };
      },
    });
    const answer = await ask('GET', '/entries?url=%2Fa%3Fb&header=X-Country:%20de');
    expect(answer).toMatchObject({ status: 200, json: { key: 'k', entries: [ENTRY] } });
    expect(asked).toEqual([
      { place: { authority: null, path: '/a', query: 'b' }, fields: ['X-Country', 'de'] },
    ]);
  });

  it.each([
    ['/entries', 'expected ?url= with a path or an absolute http(s) URL, got none'],
    ['/entries?url=a', 'expected ?url= with a path or an absolute http(s) URL, got "a"'],
    ['/entries?url=/a&header=x', 'expected ?header=Name: value, got none with a colon'],
  ])('an error for %s', async (path, detail) => {
    const { ask } = await admin();
    expect(await ask('GET', path)).toMatchObject({ status: 400, json: { detail } });
  });

  it('that no route takes a URL, or that its host is missing', async () => {
    const unrouted = await admin({ entries: async () => ({ kind: 'no-route' }) });
    expect((await unrouted.ask('GET', '/entries?url=/a')).status).toBe(404);
    const hostless = await admin({ entries: async () => ({ kind: 'host-needed' }) });
    expect((await hostless.ask('GET', '/entries?url=/a')).status).toBe(400);
  });

  it('feeds, with their silence in seconds', async () => {
    const status = {
      id: 'f',
      type: 'sse',
      state: 'live',
      position: '9',
      behind: null,
      lastFailure: null,
      ...newFeedCounts(),
    } as const;
    const { ask } = await admin({
      feeds: () => [
        { ...status, silenceMs: 1500 },
        { ...status, silenceMs: Infinity },
      ],
    });
    const answer = await ask('GET', '/feeds');
    expect(answer.json).toMatchObject({
      feeds: [
        { id: 'f', type: 'sse', state: 'live', position: '9', silence: 1.5, changes: 0, gaps: 0 },
        { silence: null },
      ],
    });
  });
});

describe('the admin side', () => {
  it('answers 404 to an unknown path', async () => {
    const { ask } = await admin();
    const answer = await ask('GET', '/nowhere');
    expect(answer).toMatchObject({
      status: 404,
      json: { title: 'Not Found', detail: 'The admin side has no /nowhere.' },
    });
  });

  it.each([
    ['GET', '/purge', 'POST'],
    ['POST', '/stats', 'GET, HEAD'],
    ['DELETE', '/healthz', 'GET, HEAD'],
  ])('answers %s %s with the methods that it allows', async (method, path, allow) => {
    const { ask } = await admin();
    const answer = await ask(method, path);
    expect(answer).toMatchObject({ status: 405, type: 'application/problem+json' });
    expect(answer.headers.get('allow')).toBe(allow);
  });

  it('does not reveal why a request failed, and logs it', async () => {
    const { ask, lines } = await admin({ stats: () => Promise.reject(new Error('a secret place')) });
    const answer = await ask('GET', '/stats');
    expect(answer).toMatchObject({ status: 500, json: { title: 'Internal Server Error' } });
    expect(answer.text).not.toMatch(/secret| at /);
    expect(lines.join('')).toContain('a secret place');
  });
});

describe("the admin side's port", () => {
  it('is not shared', async () => {
    const { port } = await admin();
    const second = await startAdmin({
      host: '127.0.0.1',
      port,
      app: createAdminApp({ config: () => CONFIG } as AdminDependencies),
      limits: CONFIG.admin.limits,
    });
    expect(second).toMatchObject({ kind: 'failed', code: 'EADDRINUSE' });
  });
});

/** Sends a request as it is on a new connection; resolves with everything that is received. */
function talk(port: number, request: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    let received = '';
    socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
    socket.on('error', () => {});
    socket.once('close', () => resolve(received));
    socket.write(request);
  });
}

function request(line: string, host: string, fields = '', content = ''): string {
  const length = content === '' ? '' : `Content-Length: ${content.length}\r\n`;
  return `${line} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${fields}${length}\r\n${content}`;
}

const statusOf = (received: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(received)?.[1]);
const JSON_TYPE = 'Content-Type: application/json\r\n';
const PURGE = '{"all":true}';

describe('without a token', () => {
  it.each(['127.0.0.1:8081', '127.9.9.9', 'localhost:1', 'LOCALHOST', '[::1]:8081', '[::1]'])(
    'a request to %s is answered',
    async (host) => {
      const { port, invalidated } = await admin();
      expect(statusOf(await talk(port, request('GET /stats', host)))).toBe(200);
      expect(statusOf(await talk(port, request('POST /purge', host, JSON_TYPE, PURGE)))).toBe(200);
      expect(invalidated).toHaveLength(1);
    },
  );

  it.each([
    'rebound.evil.test:8081',
    'rebound.evil.test',
    '127.0.0.1.evil.test',
    'localhost.evil.test',
    'evil.test:80',
    '127.0.0.256',
    '127.1',
    '0x7f.0.0.1',
    '128.0.0.1',
    '0.0.0.0:8081',
    '[::2]:8081',
    '192.168.1.1',
  ])('a request to %s gets 421, on every route except the health checks', async (host) => {
    const { port, invalidated } = await admin();
    const asked = [
      'GET /stats',
      'GET /metrics',
      'GET /entries?url=/',
      'GET /feeds',
      'GET /writes',
      'GET /none',
    ];
    for (const line of asked) expect(statusOf(await talk(port, request(line, host)))).toBe(421);
    expect(statusOf(await talk(port, request('POST /purge', host, JSON_TYPE, PURGE)))).toBe(421);
    expect(invalidated).toEqual([]);
    expect(statusOf(await talk(port, request('GET /healthz', host)))).toBe(200);
    expect(statusOf(await talk(port, request('GET /readyz', host)))).toBe(200);
  });

  it.each([
    ['a program, without a type', '', 200],
    ['a page, without a type', 'Sec-Fetch-Site: same-origin\r\n', 415],
    ['a page of the same origin, without a type', 'Origin: http://localhost\r\n', 415],
    ['a form', 'Content-Type: application/x-www-form-urlencoded\r\n', 415],
    ['plain text', 'Content-Type: text/plain\r\n', 415],
    ['plain text that names JSON', 'Content-Type: text/plain; x=application/json\r\n', 415],
    ['JSON with a parameter', 'Content-Type: Application/JSON; charset=utf-8\r\n', 200],
    ['a page of another site', `${JSON_TYPE}Sec-Fetch-Site: cross-site\r\n`, 403],
    ['a page of the same site', `${JSON_TYPE}Sec-Fetch-Site: same-site\r\n`, 403],
    ['a page of another origin', `${JSON_TYPE}Origin: http://localhost:3000\r\n`, 403],
    ['a page of no origin', `${JSON_TYPE}Origin: null\r\n`, 403],
    ['a page of origin null', `${JSON_TYPE}Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n`, 200],
    ['a page of the same origin', `${JSON_TYPE}Sec-Fetch-Site: none\r\n`, 200],
  ])('a purge from %s has its status', async (_, fields, status) => {
    const { port, invalidated } = await admin();
    expect(statusOf(await talk(port, request('POST /purge', 'localhost', fields, PURGE)))).toBe(status);
    expect(invalidated).toHaveLength(status === 200 ? 1 : 0);
  });

  it("a change without content is accepted, except from another origin's page", async () => {
    const { port } = await admin();
    for (const line of ['POST /writes/1/retry', 'DELETE /writes/1']) {
      expect(statusOf(await talk(port, request(line, 'localhost')))).toBe(404);
      expect(statusOf(await talk(port, request(line, 'localhost', 'Origin: http://evil.test\r\n')))).toBe(
        403,
      );
      expect(statusOf(await talk(port, request(line, 'localhost', 'Sec-Fetch-Site: cross-site\r\n')))).toBe(
        403,
      );
    }
  });

  it('these checks apply; with a token, only the token decides', async () => {
    const { port, invalidated } = await admin({ token: 'secret' });
    const bearer = 'Authorization: Bearer secret\r\n';
    expect(statusOf(await talk(port, request('POST /purge', 'weir.internal', bearer, PURGE)))).toBe(200);
    expect(statusOf(await talk(port, request('POST /purge', 'localhost', JSON_TYPE, PURGE)))).toBe(401);
    expect(invalidated).toHaveLength(1);
  });
});

describe("the admin side's limits", () => {
  it('end a request that is not received in time', async () => {
    const { port } = await admin({}, { requestMs: 500 });
    const head = `POST /purge HTTP/1.1\r\nHost: localhost\r\n${JSON_TYPE}Content-Length: 12\r\n\r\n{"all"`;
    expect(statusOf(await talk(port, head))).toBe(408);
    expect(statusOf(await talk(port, 'GET /stats HTTP/1.1\r\n'))).toBe(408);
  });

  it('close a connection beyond the maximum number', async () => {
    const { port } = await admin({}, { connections: 1 });
    const first = connect({ port, host: '127.0.0.1' });
    await once(first, 'connect');
    first.write('GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await once(first, 'data');
    expect(await talk(port, request('GET /stats', 'localhost'))).toBe('');
    first.destroy();
  });
});
