/**
 * Tests that decisions take time in proportion to the length of their input. Every field that a client or an
 * origin can send is grown by repetitions of its possible separators.
 */
import { describe, expect, it } from 'vitest';
import { faultOfHead } from '../../origin-adapters/http/answer-head.ts';
import { authenticate } from '../../origin-adapters/feeds/webhook/signature.ts';
import type { ListenLimits } from '../../policies/config/config.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { clientSite, decideMaxForwards, isLooping, originFields } from '../../policies/http/forwarding.ts';
import { namesOthers } from '../../policies/http/hop-by-hop.ts';
import { keyOf, normalizeTarget, unkeyedRequestFields } from '../../policies/key.ts';
import { parseUrlPlace } from '../../policies/url-place.ts';
import { MIN_POSITION_FIELD, parsePositions } from '../../policies/position-field.ts';
import { evaluatePreconditions } from '../../policies/rfc9110/preconditions.ts';
import { decideRange } from '../../policies/rfc9110/ranges.ts';
import { invalidatedGroups, invalidatedTargets } from '../../policies/rfc9111/invalidation.ts';
import { decidePart } from '../../policies/rfc9111/parts.ts';
import { freshen, freshenByHead, selectByNotModified } from '../../policies/rfc9111/validation.ts';
import { secondaryKey, selectVariant } from '../../policies/rfc9111/vary.ts';
import { entryTags, tagOfUrl } from '../../policies/tags.ts';
import { preferredWaitMs, retryAfterMs, scopedIdempotencyKey } from '../../policies/writes.ts';
import { readRequestHead } from '../../proxy/http/request-head.ts';
import { get, NOW_MS, PLAIN_POLICY, policy, reuse, stored, storing } from '../rfc9111/given.ts';
import { READ_OF_ANSWERS, READ_OF_REQUESTS } from './fields-read.ts';

/** The maximum length of all fields of a request together, in bytes. */
const LARGEST = 32 * 1024;
/**
 * The number of parts into which a text is cut. A quadratic parser takes this many times as long for the
 * whole text as for its parts one by one.
 */
const PARTS = 16;
/**
 * A quadratic parser can't read the largest field within this time: it would need 3,000 steps a microsecond.
 */
const FAST_MS = 150;

const SEPARATORS = [
  ' ',
  '\t',
  ',',
  ';',
  '=',
  '"',
  '\\',
  '/',
  '.',
  '-',
  '(',
  '%',
  '&',
  ':',
  '\u00a0',
  'a',
  '0',
];
const PAIRS = [
  ', ',
  ' ,',
  '; ',
  '="',
  '\\"',
  ',"',
  '";',
  'a ',
  'a,',
  'a;',
  'a=',
  'a/',
  '/.',
  '%a',
  'W/"',
  '"a",',
  '1-',
  '%41',
];
const STARTS: Readonly<Record<string, readonly string[]>> = {
  'cache-control': ['max-age=', 'private="', 'no-cache='],
  'content-range': ['bytes'],
  'content-type': ['text/event-stream'],
  forwarded: ['for=', 'for="', 'host=a;'],
  'if-none-match': ['"', 'W/"'],
  prefer: ['wait'],
  range: ['bytes=', 'bytes'],
  via: ['1.1 weir'],
};

/** Texts that grow with `length`. Each has an invalid end, because patterns backtrack only on a mismatch. */
function shapesOf(name: string): ((length: number) => string)[] {
  const starts = ['a', ...(STARTS[name] ?? [])];
  return [...SEPARATORS, ...PAIRS].flatMap((repeated) =>
    starts.flatMap((start) =>
      ['b', 'b\u00ff"'].map(
        (end) =>
          (length: number): string =>
            `${start}${repeated.repeat(length / repeated.length)}${end}`,
      ),
    ),
  );
}

const listen = {
  underscores: 'keep',
  limits: {
    urlBytes: 2 * LARGEST,
    headersBytes: 2 * LARGEST,
    headerCount: 100,
    bodyBytes: 100,
  } as ListenLimits,
} as const;

const VARYING = READ_OF_REQUESTS.filter((name) => name !== 'authorization').join(', ');
const entry = {
  meta: stored(
    [
      'Cache-Control',
      'max-age=60',
      'Vary',
      VARYING,
      'ETag',
      '"a"',
      'Content-Encoding',
      'gzip',
      'Content-Language',
      'en',
    ],
    {
      request: get(
        ...READ_OF_REQUESTS.flatMap((name) => (name === 'authorization' ? [] : [name, 'a, b;q=0.5, c'])),
      ),
    },
  ),
};

function readRequest(fields: Fields): void {
  const request = { method: 'GET', fields };
  const client = {
    fields,
    version: '1.1',
    trusted: true,
    remoteAddress: '::1',
    scheme: 'http',
    authority: 'a',
  } as const;
  readRequestHead(
    { method: 'POST', target: '/', minor: 1, fields: [...fields], hasOddNames: true },
    'http',
    listen,
  );
  clientSite(client);
  originFields({ ...client, hostHeader: 'client' });
  isLooping(fields);
  namesOthers(fields);
  decideMaxForwards('TRACE', fields);
  keyOf({
    origin: 'o',
    seesHost: false,
    scheme: 'http',
    authority: '',
    path: '/',
    query: '',
    policy: policy({ key: { query: 'all', headers: ['x-any'], cookies: ['a'] } }),
    fields,
  });
  unkeyedRequestFields(fields, PLAIN_POLICY);
  selectVariant([entry, entry], request);
  secondaryKey(READ_OF_REQUESTS, request, 2 * LARGEST);
  storing(['Cache-Control', 'max-age=60', 'Vary', VARYING], {
    request,
    policy: policy({ maxVaryBytes: 2 * LARGEST }),
  });
  reuse(entry.meta, 30, { request });
  evaluatePreconditions(request, entry.meta, NOW_MS);
  decideRange(request, entry.meta, 1000);
  decidePart(request, { ...entry.meta, part: { first: 0, last: 9, completeBytes: 20 } });
  parsePositions(fields[0] === MIN_POSITION_FIELD ? [fields[1]!] : []);
  preferredWaitMs(fields);
  scopedIdempotencyKey({ origin: 'o', authority: null }, fields);
  authenticate(fields, new Uint8Array(), [Buffer.from('secret')], NOW_MS, 1000);
}

function readAnswer(fields: Fields): void {
  const request = get('Range', 'bytes=0-9');
  const update = {
    request,
    fields,
    requestTimeMs: NOW_MS,
    responseTimeMs: NOW_MS,
    policy: PLAIN_POLICY,
    authority: 'shop.example',
  };
  const exchange = {
    method: 'POST',
    target: '/a',
    authority: 'shop.example',
    scheme: 'http',
    status: 200,
    fields,
  };
  storing(fields);
  storing(fields, { status: 206, request });
  storing(['Cache-Control', 'max-age=60', ...fields]);
  selectByNotModified(fields, [entry.meta]);
  freshen(entry.meta, update);
  freshenByHead(entry.meta, 200, update);
  invalidatedTargets(exchange);
  invalidatedGroups(exchange);
  retryAfterMs(fields, NOW_MS);
  faultOfHead({ method: 'GET', fields: [] }, 200, fields);
}

function readTarget(text: string): void {
  const place = parseUrlPlace(text);
  parseUrlPlace(`http://a${text}`);
  const normal = normalizeTarget(`/${text}`);
  const { path, query } = normal ?? place ?? { path: `/${text}`, query: text };
  tagOfUrl('a', path, query);
  entryTags({ authority: 'a', path, query, route: 'r', origin: 'o', feed: null, extra: [] });
  for (const rule of [{ only: ['a'] }, { except: ['a'] }]) {
    const key = { query: rule, headers: [], cookies: [] };
    keyOf({
      origin: 'o',
      seesHost: false,
      scheme: 'http',
      authority: '',
      path,
      query,
      policy: policy({ key }),
      fields: [],
    });
  }
  for (const url of [text, `/${text}`, `http://${text}`, `http://a/${text}#`, `http://${text}#`]) {
    readRequestHead(
      { method: 'GET', target: url, minor: 1, fields: ['Host', 'a'], hasOddNames: true },
      'http',
      listen,
    );
  }
}

/** Processor time, which other processes do not affect. */
function leastMs(times: number, run: () => void): number {
  let least = Infinity;
  for (let i = 0; i < times; i++) {
    const from = process.threadCpuUsage();
    run();
    const { user, system } = process.threadCpuUsage(from);
    least = Math.min(least, (user + system) / 1000);
  }
  return least;
}

/** The time for the largest text in relation to that for all its parts; 1 where it is negligible. */
function growthOf(read: (length: number) => void): number {
  const whole = () => read(LARGEST);
  if (leastMs(1, whole) < FAST_MS) return 1;
  const large = leastMs(1, whole);
  if (large < FAST_MS) return 1;
  const small = leastMs(2, () => {
    for (let i = 0; i < PARTS; i++) read(LARGEST / PARTS);
  });
  return large / small;
}

function superlinear(name: string, read: (text: string) => void): string[] {
  return shapesOf(name).flatMap((shape) => {
    const growth = growthOf((length) => read(shape(length)));
    return growth < PARTS / 3 ? [] : [`${JSON.stringify(shape(8))}: ${growth}`];
  });
}

describe('parsing takes time in proportion to the length', () => {
  it.each(READ_OF_REQUESTS)('of the request field %s', (name) => {
    expect(superlinear(name, (text) => readRequest([name, text]))).toEqual([]);
  });

  it.each(READ_OF_ANSWERS)('of the response field %s', (name) => {
    expect(superlinear(name, (text) => readAnswer([name, text]))).toEqual([]);
  });

  it('of the target', () => {
    expect(superlinear('', readTarget)).toEqual([]);
  });

  it('and the measurement detects a quadratic parser', () => {
    const read = (length: number) => /^[^;]*?[ \t]*;$/.test(' '.repeat(length));
    expect(growthOf(read)).toBeGreaterThan(PARTS / 3);
  });
});
