import { afterEach, describe, expect, it } from 'vitest';
import { createAdminApp, MAX_BODY_BYTES } from '../../proxy/admin/app.ts';
import type { AdminDependencies, EntryReport } from '../../proxy/admin/dependencies.ts';
import { startAdmin } from '../../proxy/admin/server.ts';
import { newFeedCounts } from '../../proxy/feeds/status.ts';
import { logTo } from '../../proxy/log/logger.ts';
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

/** A real listener in front of a coordinator that does as it is told. */
async function admin(given: Partial<AdminDependencies> = {}) {
  const invalidated: Invalidated[] = [];
  const lines: string[] = [];
  const deps: AdminDependencies = {
    token: '',
    log: logTo({ write: (line) => void lines.push(line) }, 'info', 'test'),
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
  const started = await startAdmin({ host: '127.0.0.1', port: 0, app: createAdminApp(deps) });
  if (started.kind === 'failed') throw new Error(started.reason);
  closing.push(() => started.close());
  const ask = async (method: string, path: string, body?: string, headers: Record<string, string> = {}) => {
    const url = `http://127.0.0.1:${started.port}${path}`;
    const response = await fetch(url, { method, headers, ...(body === undefined ? {} : { body }) });
    const text = await response.text();
    const type = response.headers.get('content-type') ?? '';
    const json: unknown = type.includes('json') && text !== '' ? JSON.parse(text) : null;
    return { status: response.status, headers: response.headers, type, text, json };
  };
  const purge = (body: unknown) => ask('POST', '/purge', JSON.stringify(body));
  return { ask, purge, invalidated, lines, port: started.port };
}

describe('POST /purge', () => {
  it('answers with the sequence once it is done', async () => {
    const { purge, invalidated } = await admin();
    const answer = await purge({ urls: ['/a?x=1'], tags: ['t'] });
    expect(answer).toMatchObject({ status: 200, json: { sequence: 7, tags: 3 } });
    expect(invalidated).toEqual([{ tags: ['url:/a?x=1', 'url:/a', 'tag:t'], mode: 'hard' }]);
  });

  it('is soft where that is asked for', async () => {
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
    ['a text for a list', '{"tags":"a"}', 'tags: expected a list of strings'],
    ['a number for a text', '{"tags":["a",1]}', 'tags[1]: expected a string'],
    ['an unknown mode', '{"all":true,"mode":"firm"}', 'mode: expected "hard" or "soft"'],
    [
      'a URL without a slash',
      '{"urls":["a"]}',
      'urls[0]: expected a path that begins with / or an absolute http(s) URL, got "a"',
    ],
  ])('says what was expected in place of %s', async (_, body, detail) => {
    const { ask, invalidated } = await admin();
    const answer = await ask('POST', '/purge', body);
    expect(answer.type).toBe('application/problem+json');
    expect(answer.json).toEqual({ type: 'about:blank', title: 'Bad request', status: 400, detail });
    expect(answer.status).toBe(400);
    expect(invalidated).toEqual([]);
  });

  it.each([
    ['whose length is told', (body: string) => body],
    ['whose length is not told', (body: string) => new Blob([body]).stream()],
  ])('refuses a body beyond its bound, and none within it, %s', async (_, sent) => {
    const { port, invalidated } = await admin();
    const url = `http://127.0.0.1:${port}/purge`;
    const purge = (tag: string) =>
      fetch(url, { method: 'POST', body: sent(JSON.stringify({ tags: [tag] })), duplex: 'half' });
    const length = MAX_BODY_BYTES - '{"tags":[""]}'.length;
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
    expect(answer).toMatchObject({ status: 503, json: { title: 'Purge not durable', detail: 'disk full' } });
  });
});

describe('the token', () => {
  it.each([
    ['no token', {}],
    ['another token', { authorization: 'Bearer secreT' }],
    ['another scheme', { authorization: 'Basic secret' }],
    ['a token and more', { authorization: 'Bearer secret x' }],
  ])('is asked for: %s', async (_, headers) => {
    const { ask } = await admin({ token: 'secret' });
    for (const path of ['/stats', '/nowhere']) {
      const answer = await ask('GET', path, undefined, headers);
      expect(answer).toMatchObject({ status: 401, type: 'application/problem+json' });
      expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="weir"');
    }
  });

  it('opens what it guards, whatever the case of its scheme', async () => {
    const { ask } = await admin({ token: 'secret' });
    const answer = await ask('GET', '/stats', undefined, { authorization: 'bearer secret' });
    expect(answer).toMatchObject({ status: 200, json: { workers: 2 } });
  });

  it('is what a web page needs, lest any page could purge', async () => {
    const headers = { origin: 'http://evil.example' };
    const unguarded = await admin();
    expect(await unguarded.ask('POST', '/purge', '{"all":true}', headers)).toMatchObject({ status: 403 });
    expect(unguarded.invalidated).toEqual([]);
    const guarded = await admin({ token: 'secret' });
    const told = { ...headers, authorization: 'Bearer secret' };
    expect(await guarded.ask('POST', '/purge', '{"all":true}', told)).toMatchObject({ status: 200 });
  });

  it('is not needed for the health checks', async () => {
    const { ask } = await admin({ token: 'secret' });
    expect((await ask('GET', '/healthz')).status).toBe(200);
    expect((await ask('GET', '/readyz')).status).toBe(200);
  });
});

describe('what it shows', () => {
  it('metrics in the text format', async () => {
    const { ask } = await admin();
    const answer = await ask('GET', '/metrics');
    expect(answer.type).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(answer.text).toBe('# HELP weir_up 1\n');
  });

  it('why it is not ready', async () => {
    const { ask } = await admin({
      ready: async () => ({ ready: false, reasons: ['1 of 2 workers listens'] }),
    });
    const answer = await ask('GET', '/readyz');
    expect(answer).toMatchObject({
      status: 503,
      json: { ready: false, reasons: ['1 of 2 workers listens'] },
    });
  });

  it('the entries of a URL, for a request with the fields that are named', async () => {
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
  ])('refuses %s', async (path, detail) => {
    const { ask } = await admin();
    expect(await ask('GET', path)).toMatchObject({ status: 400, json: { detail } });
  });

  it('that no route takes a URL, or that its host is needed', async () => {
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

describe('what it does not know', () => {
  it('a path that there is not', async () => {
    const { ask } = await admin();
    const answer = await ask('GET', '/nowhere');
    expect(answer).toMatchObject({
      status: 404,
      json: { title: 'Not found', detail: 'Nothing is at /nowhere.' },
    });
  });

  it.each([
    ['GET', '/purge', 'POST'],
    ['POST', '/stats', 'GET, HEAD'],
    ['DELETE', '/healthz', 'GET, HEAD'],
  ])('%s %s: says what it takes', async (method, path, allow) => {
    const { ask } = await admin();
    const answer = await ask(method, path);
    expect(answer).toMatchObject({ status: 405, type: 'application/problem+json' });
    expect(answer.headers.get('allow')).toBe(allow);
  });

  it('why it failed: that is for the log', async () => {
    const { ask, lines } = await admin({ stats: () => Promise.reject(new Error('a secret place')) });
    const answer = await ask('GET', '/stats');
    expect(answer).toMatchObject({ status: 500, json: { title: 'Internal error' } });
    expect(answer.text).not.toMatch(/secret| at /);
    expect(lines.join('')).toContain('a secret place');
  });
});

describe('its port', () => {
  it('is not shared', async () => {
    const { port } = await admin();
    const second = await startAdmin({
      host: '127.0.0.1',
      port,
      app: createAdminApp({} as AdminDependencies),
    });
    expect(second).toMatchObject({ kind: 'failed', code: 'EADDRINUSE' });
  });
});
