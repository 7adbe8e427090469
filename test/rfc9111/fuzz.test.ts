import { describe, expect, it } from 'vitest';
import { parseHttpDate } from '../../policies/http/dates.ts';
import { parseEtagCondition } from '../../policies/http/etags.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { originFields } from '../../policies/http/forwarding.ts';
import { keyedQuery, keyOf, normalizeTarget } from '../../policies/key.ts';
import { evaluatePreconditions } from '../../policies/rfc9110/preconditions.ts';
import { decideRange } from '../../policies/rfc9110/ranges.ts';
import { parseDirectives } from '../../policies/rfc9111/cache-control.ts';
import { invalidatedGroups, invalidatedTargets } from '../../policies/rfc9111/invalidation.ts';
import { decidePart, parseContentRange } from '../../policies/rfc9111/parts.ts';
import {
  freshen,
  freshenByHead,
  selectByNotModified,
  validationFields,
} from '../../policies/rfc9111/validation.ts';
import { secondaryKey, selectVariant } from '../../policies/rfc9111/vary.ts';
import { fc } from '../support/properties.ts';
import { dateIn, get, NOW_MS, PLAIN_POLICY, policy, reuse, storing, stored } from './given.ts';

const NAMES = [
  'Accept-Encoding',
  'Accept-Language',
  'Age',
  'Authorization',
  'Cache-Control',
  'CDN-Cache-Control',
  'Cache-Groups',
  'Cache-Group-Invalidation',
  'Cache-Tag',
  'Connection',
  'Content-Length',
  'Content-Location',
  'Content-Range',
  'Content-Type',
  'Cookie',
  'Date',
  'ETag',
  'Expires',
  'Forwarded',
  'If-Match',
  'If-Modified-Since',
  'If-None-Match',
  'If-Range',
  'If-Unmodified-Since',
  'Last-Modified',
  'Location',
  'Pragma',
  'Range',
  'Set-Cookie',
  'Surrogate-Key',
  'Vary',
  'X-Forwarded-For',
  'xkey',
];

const PIECES = [
  'max-age',
  's-maxage',
  'no-store',
  'no-cache',
  'private',
  'public',
  'must-revalidate',
  'must-understand',
  'bytes',
  'stale-if-error',
  'max-stale',
  'min-fresh',
  'gzip',
  'W/',
  'en',
  'a',
  '*',
  '0',
  '1',
  '60',
  '2147483648',
  '-',
  '=',
  ',',
  ';',
  '"',
  '\\',
  ' ',
  '\t',
  '/',
  '?',
  '%',
  ':',
  '(',
  ')',
  '[',
  'q=0.5',
  'http://shop.example',
  '\u00ff',
  'Thu, 18 Aug 2050 02:01:18 GMT',
  dateIn(0),
  dateIn(-500),
  dateIn(500),
];

const value = fc.oneof(
  fc.array(fc.constantFrom(...PIECES), { maxLength: 12 }).map((pieces) => pieces.join('')),
  fc.string({ unit: 'binary', maxLength: 40 }),
);
const fields: fc.Arbitrary<Fields> = fc
  .array(fc.tuple(fc.constantFrom(...NAMES), value), { maxLength: 8 })
  .map((pairs) => pairs.flat());
const status = fc.constantFrom(200, 204, 206, 299, 301, 302, 304, 404, 410, 500, 503, 599);
const RUNS = { numRuns: 2000 };

describe('parsers with random input', () => {
  it('never throw on any text', () => {
    fc.assert(
      fc.property(value, (text) => {
        parseHttpDate(text, NOW_MS);
        parseEtagCondition(text);
        parseDirectives([text]);
        parseContentRange(text);
        normalizeTarget(text);
        keyedQuery(text, { only: ['a'] });
      }),
      RUNS,
    );
  });

  it('never throw on any request and response', () => {
    fc.assert(
      fc.property(
        fields,
        fields,
        fields,
        status,
        fc.constantFrom('GET', 'HEAD', 'POST'),
        (asked, received, later, code, method) => {
          const request = { method, fields: asked };
          const decision = storing(received, { request: { ...request, method: 'GET' }, status: code });
          const meta =
            decision.kind === 'store' ? decision.meta : stored(['Cache-Control', 'max-age=9', 'ETag', '"a"']);
          const update = {
            request,
            fields: later,
            requestTimeMs: NOW_MS,
            responseTimeMs: NOW_MS,
            policy: PLAIN_POLICY,
            authority: 'shop.example',
          };
          reuse(meta, 30, { request });
          evaluatePreconditions(request, meta, NOW_MS);
          decideRange(request, meta, 1000);
          decidePart(request, meta);
          validationFields([meta, meta]);
          selectByNotModified(later, [meta]);
          freshen(meta, update);
          freshenByHead(meta, code, update);
          selectVariant([{ meta }], request);
          secondaryKey(['accept-encoding', 'accept-language', 'cookie'], request, 4096);
          const exchange = {
            method,
            target: '/a',
            authority: 'shop.example',
            scheme: 'http',
            status: code,
            fields: received,
          };
          invalidatedTargets(exchange);
          invalidatedGroups(exchange);
          const client = {
            fields: asked,
            version: '1.1',
            trusted: true,
            remoteAddress: '::1',
            scheme: 'http',
            authority: 'a',
          } as const;
          originFields({ ...client, hostHeader: 'client' });
          const key = { query: 'all', headers: ['x'], cookies: ['a'] } as const;
          keyOf({
            origin: 'o',
            seesHost: false,
            scheme: 'http',
            authority: '',
            path: '/',
            query: '',
            policy: policy({ key }),
            fields: asked,
          });
        },
      ),
      RUNS,
    );
  });

  it('find a range within the content, or no range', () => {
    fc.assert(
      fc.property(value, fc.integer({ min: 0, max: 2000 }), (text, sizeBytes) => {
        const decision = decideRange(
          get('Range', `bytes=${text}`),
          stored(['Cache-Control', 'max-age=9']),
          sizeBytes,
        );
        if (decision.kind !== 'single') return true;
        const { first, last } = decision.range;
        return first >= 0 && first <= last && last < sizeBytes;
      }),
      RUNS,
    );
  });
});

describe('a restriction in a response', () => {
  const noise = fc
    .array(
      fc.constantFrom(
        'max-age=60',
        'public',
        'a="b, c"',
        'x=y',
        'immutable',
        's-maxage=9',
        'no-cache="X"',
        '',
        ' ',
      ),
      {
        maxLength: 5,
      },
    )
    .map((directives) => directives.join(','));
  const around = (directive: string) => fc.tuple(noise, noise).map(([a, b]) => `${a},${directive},${b}`);

  it.each(['no-store', 'private', 'NO-STORE', ' Private\t'])(
    'forbids storing with any other directives: %s',
    (directive) => {
      fc.assert(
        fc.property(
          around(directive),
          status,
          (text, code) => storing(['Cache-Control', text], { status: code }).kind === 'not',
        ),
      );
    },
  );

  it('demands validation with any other directives: no-cache', () => {
    fc.assert(
      fc.property(around('no-cache'), (text) => {
        const decision = storing(['Cache-Control', text, 'ETag', '"a"']);
        return decision.kind === 'store' && reuse(decision.meta, 0).kind === 'revalidate';
      }),
    );
  });

  it('forbids stale answers with any other directives: must-revalidate', () => {
    fc.assert(
      fc.property(around('must-revalidate, stale-if-error=60, stale-while-revalidate=60'), (text) => {
        const decision = storing(['Cache-Control', text, 'ETag', '"a"']);
        if (decision.kind === 'not') return false;
        const later = reuse(decision.meta, 70, { request: get('Cache-Control', 'max-stale') });
        return later.kind === 'revalidate' && later.staleIfErrorUntilMs === 0;
      }),
    );
  });

  it('forbids storing with any other fields: Set-Cookie, Vary: *, an Authorization without permission', () => {
    const harmless = fields.map((all) => {
      const kept: string[] = [];
      for (let i = 0; i < all.length; i += 2) {
        if (!/^(cache-control|cdn-cache-control)$/i.test(all[i]!)) kept.push(all[i]!, all[i + 1]!);
      }
      return kept;
    });
    fc.assert(
      fc.property(harmless, status, (more, code) => {
        const fresh = ['Cache-Control', 'max-age=60', ...more];
        expect(storing([...fresh, 'Set-Cookie', 'a=b'], { status: code }).kind).toBe('not');
        expect(storing([...fresh, 'Vary', '*'], { status: code }).kind).toBe('not');
        expect(storing(fresh, { status: code, request: get('Authorization', 'x') }).kind).toBe('not');
      }),
    );
  });

  it('limits the lifetime to the shortest stated one', () => {
    const seconds = fc.integer({ min: 0, max: 100 });
    fc.assert(
      fc.property(fc.array(seconds, { minLength: 1, maxLength: 4 }), noise, (given, text) => {
        const shared = given.map((value) => `s-maxage=${value}`).join(',');
        const decision = storing([
          'Cache-Control',
          `${text.replaceAll('s-maxage=9', '')},${shared}`,
          'ETag',
          '"a"',
        ]);
        return decision.kind === 'store' && decision.meta.lifetimeSeconds <= Math.min(...given);
      }),
    );
  });
});
