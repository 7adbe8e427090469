import { describe, expect, it } from 'vitest';
import { fieldValue, fieldValues } from '../../policies/http/fields.ts';
import type { Fields } from '../../policies/http/fields.ts';
import type { StoredMeta } from '../../policies/model.ts';
import {
  adopt,
  decideConfirmation,
  freshen,
  freshenByHead,
  selectByNotModified,
  decideAskedAbout,
  mayBeDueTo,
  validationFields,
} from '../../policies/rfc9111/validation.ts';
import type { Update } from '../../policies/rfc9111/validation.ts';
import { dateIn, get, NOW_MS, PLAIN_POLICY, policy, stored } from './given.ts';

const cc = (...more: string[]) => stored(['Cache-Control', 'max-age=10', ...more]);
const LATER_MS = NOW_MS + 100_000;

function update(fields: Fields, changes: Partial<Update> = {}): Update {
  return {
    request: get(),
    fields,
    requestTimeMs: LATER_MS,
    responseTimeMs: LATER_MS,
    policy: PLAIN_POLICY,
    authority: 'shop.example',
    ...changes,
  };
}

function freshened(meta: StoredMeta, ...fields: string[]): StoredMeta {
  const decision = freshen(meta, update(fields));
  if (decision.kind === 'not') throw new Error(decision.reason);
  return decision.meta;
}

describe('RFC 9110 §8.8.2.2', () => {
  it('keeps a weak Last-Modified weak after a later 304, which may be of another state within that second', () => {
    const weak = cc('Last-Modified', dateIn(0));
    expect(weak.lastModifiedStrong).toBe(false);
    expect(freshened(weak, 'Last-Modified', dateIn(0), 'Date', dateIn(100)).lastModifiedStrong).toBe(false);
    const strong = cc('Last-Modified', dateIn(-100));
    expect(freshened(strong, 'Date', dateIn(100)).lastModifiedStrong).toBe(true);
  });
});

describe('§4.3.1 the limits of one conditional request', () => {
  const tagged = (etag: string, ageMs = 0) => ({
    meta: { ...cc('ETag', etag), responseTimeMs: NOW_MS - ageMs },
  });
  const bounds = (maxConditionBytes: number, maxConditionTags: number) =>
    policy({ maxConditionBytes, maxConditionTags });
  const askedTags = (...asked: Parameters<typeof decideAskedAbout>) => {
    const { own, others, leftOut } = decideAskedAbout(...asked);
    const fields = validationFields([...own, ...others].map(({ meta }) => meta));
    return [fields[1] ?? '', leftOut];
  };

  it('§4.3.1 validates entries that could answer the request, then others, the newest first', () => {
    const own = [tagged('"a"', 2000), tagged('"b"', 1000)];
    const others = [tagged('"c"', 30), tagged('"d"', 10), tagged('"e"', 20)];
    expect(askedTags(own, others, bounds(2048, 64))).toEqual(['"b", "a", "d", "e", "c"', 0]);
    expect(askedTags(own, others, bounds(2048, 3))).toEqual(['"b", "a", "d"', 2]);
    expect(askedTags(own, others, bounds(13, 64))).toEqual(['"b", "a", "d"', 2]);
    expect(askedTags(own, others, bounds(12, 64))).toEqual(['"b", "a"', 3]);
    expect(askedTags(own, others, bounds(2, 64))).toEqual(['', 5]);
  });

  it('§4.3.1 never exceeds the limits, whatever the lengths of the tags', () => {
    const others = Array.from({ length: 200 }, (_, i) => tagged(`"${'x'.repeat((i * 37) % 300)}-${i}"`, i));
    for (const bytes of [0, 1, 10, 100, 1000, 2048]) {
      const [field] = askedTags([], others, bounds(bytes, 64));
      expect(String(field).length).toBeLessThanOrEqual(bytes);
    }
  });

  it('§4.3.1 counts a tag of several entries once, and a date not at all', () => {
    const dated = { meta: cc('Last-Modified', dateIn(-100)) };
    const asked = decideAskedAbout([tagged('"a"'), tagged('"a"'), dated], [tagged('"a"')], bounds(3, 1));
    expect(asked).toMatchObject({ own: { length: 3 }, others: { length: 1 }, leftOut: 0 });
  });

  it('§4.3.1 does not validate an entry by its date if its tag does not fit', () => {
    const long = { meta: cc('ETag', `"${'x'.repeat(3000)}"`, 'Last-Modified', dateIn(0)) };
    expect(decideAskedAbout([long], [], bounds(2048, 64))).toEqual({ own: [], others: [], leftOut: 1 });
  });

  it('attributes a rejection to conditions only where the request had some', () => {
    const match = ['If-None-Match', '"a"'];
    const range = ['Range', 'bytes=5-', 'If-Range', '"a"'];
    for (const status of [400, 412, 413, 431]) {
      expect([match, range, []].map((fields) => mayBeDueTo(fields, status))).toEqual([true, true, false]);
    }
    expect([match, range, []].map((fields) => mayBeDueTo(fields, 416))).toEqual([false, true, false]);
    for (const status of [200, 206, 304, 401, 403, 404, 410, 414, 429, 500, 503]) {
      expect(mayBeDueTo(match, status)).toBe(false);
    }
  });
});

describe('§4.3.1 the validation request', () => {
  it('§4.3.1 sends the entity tags of all entries, weak ones as they are', () => {
    expect(validationFields([cc('ETag', '"a"'), cc('ETag', 'W/"b"'), cc('ETag', '"a"')])).toEqual([
      'If-None-Match',
      '"a", W/"b"',
    ]);
  });

  it('§4.3.1 sends Last-Modified as it was received, for one entry without a tag', () => {
    const date = 'Sunday, 14-Jun-26 12:00:00 GMT';
    expect(validationFields([cc('Last-Modified', date)])).toEqual(['If-Modified-Since', date]);
    expect(validationFields([cc('Last-Modified', date), cc('Last-Modified', date)])).toEqual([]);
  });

  it('§4.3.1 sends both for one entry, unless the date is weak', () => {
    const date = dateIn(-100);
    expect(validationFields([cc('Last-Modified', date, 'ETag', '"a"')])).toEqual([
      'If-None-Match',
      '"a"',
      'If-Modified-Since',
      date,
    ]);
    expect(validationFields([cc('Last-Modified', dateIn(0), 'ETag', '"a"')])).toEqual([
      'If-None-Match',
      '"a"',
    ]);
    expect(validationFields([cc('Last-Modified', date, 'ETag', '"a"'), cc('Last-Modified', date)])).toEqual([
      'If-None-Match',
      '"a"',
    ]);
  });

  it.each(['a', '"a', 'w/"a"', '"a" "b"', '"a"b'])(
    '§4.3.1 sends no precondition for the malformed tag %s',
    (tag) => {
      expect(validationFields([cc('ETag', tag)])).toEqual([]);
    },
  );

  it('§4.3.1 sends no precondition for a malformed, repeated or absent validator', () => {
    expect(validationFields([cc('Last-Modified', 'yesterday')])).toEqual([]);
    expect(validationFields([cc('ETag', '"a"', 'ETag', '"b"')])).toEqual([]);
    expect(validationFields([cc()])).toEqual([]);
    expect(validationFields([])).toEqual([]);
  });
});

describe('§4.3.4 which entry a 304 confirms', () => {
  const a = cc('ETag', '"a"', 'Date', dateIn(-30));
  const b = cc('ETag', '"b"', 'Date', dateIn(-20));
  const weak = cc('ETag', 'W/"c"', 'Date', dateIn(-10));
  const newerWeak = cc('ETag', 'W/"c"', 'Date', dateIn(-5));

  it('§4.3.4 confirms the entry with the same strong tag', () => {
    expect(selectByNotModified(['ETag', '"b"'], [a, b, weak])).toBe(1);
  });

  it('§4.3.4 confirms none for a strong tag that no entry has', () => {
    expect(selectByNotModified(['ETag', '"z"'], [a, b])).toBe(null);
    expect(selectByNotModified(['ETag', '"z"'], [a])).toBe(null);
    expect(selectByNotModified(['ETag', '"c"'], [weak])).toBe(null);
  });

  it('§4.3.4 confirms the newest with a matching weak tag', () => {
    expect(selectByNotModified(['ETag', 'W/"c"'], [a, weak, newerWeak])).toBe(2);
    expect(selectByNotModified(['ETag', 'W/"a"'], [a, b])).toBe(0);
  });

  it('§4.3.4 confirms the entry with the same Last-Modified where there is no tag', () => {
    const dated = cc('Last-Modified', dateIn(-500));
    expect(selectByNotModified(['Last-Modified', dateIn(-500)], [dated])).toBe(0);
    expect(selectByNotModified(['Last-Modified', dateIn(-400)], [dated])).toBe(null);
  });

  it('§4.3.4 reads a two-digit year by the date when it was stored', () => {
    const date = 'Sunday, 14-Jun-26 12:00:00 GMT';
    expect(selectByNotModified(['Last-Modified', date], [cc('Last-Modified', date)])).toBe(0);
  });

  it('§4.3.4 confirms the only validated entry if there is no validator', () => {
    expect(selectByNotModified([], [a])).toBe(0);
    expect(selectByNotModified([], [a, b])).toBe(null);
  });
});

describe('§4.3.4 and §4.1 entries that a 304 confirms', () => {
  const vary = (etag: string, ...more: string[]) => cc('ETag', etag, 'Vary', 'Foo', ...more);
  const none = { kind: 'none' };

  it.each([
    ['the validated entry by its strong tag', ['ETag', '"a"'], ['"a"'], ['"a"'], { kind: 'own', index: 0 }],
    ['the validated entry by its weak tag', ['ETag', 'W/"a"'], ['W/"a"'], [], { kind: 'own', index: 0 }],
    [
      'the validated entry by a tag that was weakened',
      ['ETag', 'W/"a"'],
      ['"a"'],
      [],
      { kind: 'own', index: 0 },
    ],
    [
      'the only entry with a weakened tag, by its strong tag',
      ['ETag', '"a"'],
      ['W/"a"'],
      [],
      { kind: 'own', index: 0 },
    ],
    [
      'none of several entries with weakened tags, by a strong tag',
      ['ETag', '"a"'],
      ['W/"a"', 'W/"b"'],
      [],
      none,
    ],
    ['none by a weakened tag that another variant also has', ['ETag', '"a"'], ['W/"a"'], ['"b"'], none],
    [
      'another variant by a strong tag',
      ['ETag', '"b"'],
      ['"a"'],
      ['"c"', '"b"'],
      { kind: 'other', index: 1 },
    ],
    ['no other variant by a weak tag', ['ETag', 'W/"b"'], ['"a"'], ['"b"'], none],
    ['no other variant without a tag', [], [], ['"b"'], none],
    ['none without a tag where the request asked about others', [], ['"a"'], ['"b"'], none],
    ['the only entry without a tag', [], ['"a"'], [], { kind: 'own', index: 0 }],
  ] as const)('§4.3.4 are %s', (_, fields, own, others, confirmation) => {
    const metas = (etags: readonly string[]) => etags.map((etag) => vary(etag));
    expect(decideConfirmation(fields, metas(own), metas(others))).toEqual(confirmation);
  });

  it('§4.1 need a strong tag where the 304 names more fields in Vary', () => {
    const more = ['Vary', 'Foo, Bar'];
    expect(decideConfirmation(['ETag', 'W/"a"', ...more], [vary('W/"a"')], [])).toEqual(none);
    expect(decideConfirmation(['ETag', '"a"', ...more], [vary('"a"')], []).kind).toBe('own');
    expect(decideConfirmation(['ETag', 'W/"a"', 'Vary', 'foo'], [vary('W/"a"')], []).kind).toBe('own');
  });

  it('§3.2 keep a weak tag weak, whatever the 304 says', () => {
    expect(freshened(cc('ETag', 'W/"a"'), 'ETag', '"a"').etag).toBe('W/"a"');
    expect(freshened(cc('ETag', '"a"'), 'ETag', 'W/"a"').etag).toBe('W/"a"');
  });
});

describe('§4.1 the content of another variant', () => {
  const other = stored(
    ['Cache-Control', 'max-age=10', 'Vary', 'Foo', 'ETag', '"a"', 'Content-Type', 'text/css', 'X-For', '1'],
    { request: get('Foo', '1') },
  );
  const adopted = (...fields: string[]) => adopt(other, update(fields, { request: get('Foo', '2') }));
  const said = ['ETag', '"a"', 'Cache-Control', 'max-age=20', 'X-For', '2'];

  it('§4.1 becomes a variant for this request, with the 304’s fields', () => {
    const decision = adopted(...said);
    expect(decision).toMatchObject({
      kind: 'store',
      meta: { varyValues: ['2'], lifetimeSeconds: 20, etag: '"a"' },
    });
    const { fields } = (decision as { meta: StoredMeta }).meta;
    expect(fieldValues(fields, 'x-for')).toEqual(['2']);
    expect(fieldValues(fields, 'content-type')).toEqual(['text/css']);
    expect(fieldValues(fields, 'cache-control')).toEqual(['max-age=20']);
  });

  it.each(['Cache-Control', 'X-For'])('§4.1 is not reused where the 304 leaves out %s', (name) => {
    const at = said.indexOf(name);
    expect(adopted(...said.toSpliced(at, 2))).toBe(null);
  });

  it('§3 is not stored where the 304 has private', () => {
    expect(adopted(...said, 'Cache-Control', 'private')).toEqual({ kind: 'not', reason: 'private' });
  });
});

describe('§3.2 updating stored fields', () => {
  it('§3.2 replaces the fields of the 304, adds new ones and keeps the rest', () => {
    const meta = freshened(cc('ETag', '"a"', 'X-A', '1', 'X-A', '2', 'X-B', '3'), 'x-a', '9', 'X-C', '4');
    expect(fieldValues(meta.fields, 'x-a')).toEqual(['9']);
    expect(fieldValue(meta.fields, 'x-b')).toBe('3');
    expect(fieldValue(meta.fields, 'x-c')).toBe('4');
  });

  it.each(['Content-Length', 'Content-Encoding', 'Content-Type', 'Content-Range'])(
    '§3.2 does not change %s, which describes the stored content',
    (name) => {
      const meta = freshened(cc('ETag', '"a"', name, 'old'), name, 'new');
      expect(fieldValues(meta.fields, name.toLowerCase())).toEqual(['old']);
      expect(fieldValues(freshened(cc('ETag', '"a"'), name, 'new').fields, name.toLowerCase())).toEqual([]);
    },
  );

  it.each([
    'Content-Location',
    'Content-Language',
    'Content-MD5',
    'Content-Foo',
    'X-Content-Foo',
    'Cache-Control',
    'Expires',
  ])('§3.2 changes %s, although its name begins with Content-', (name) => {
    const old = name === 'Cache-Control' ? 'max-age=10' : 'old';
    const now = name === 'Cache-Control' ? 'max-age=11' : 'new';
    const meta = freshened(cc('ETag', '"a"', ...(name === 'Cache-Control' ? [] : [name, old])), name, now);
    expect(fieldValues(meta.fields, name.toLowerCase())).toEqual([now]);
  });

  it('§3.2 ignores hop-by-hop fields and cookies', () => {
    const meta = freshened(
      cc('ETag', '"a"'),
      'Connection',
      'X-Hop',
      'X-Hop',
      '1',
      'Proxy-Authenticate',
      'Basic',
    );
    expect(
      ['connection', 'x-hop', 'proxy-authenticate'].filter((name) => fieldValue(meta.fields, name)),
    ).toEqual([]);
    expect(freshened(cc('ETag', '"a"'), 'Set-Cookie', 'a=b').fields).not.toContain('Set-Cookie');
  });

  it('§4.3.4 makes the entry fresh again, from now', () => {
    const meta = freshened(cc('ETag', '"a"', 'Age', '7'), 'Cache-Control', 'max-age=500');
    expect(meta).toMatchObject({ lifetimeSeconds: 500, initialAgeSeconds: 0, responseTimeMs: LATER_MS });
    expect(fieldValue(meta.fields, 'date')).toBe(dateIn(100));
  });

  it('§4.3.4 uses the Age of the 304, and an Expires in the past', () => {
    expect(freshened(cc('ETag', '"a"'), 'Age', '30').initialAgeSeconds).toBe(30);
    expect(freshened(stored(['Expires', dateIn(10), 'ETag', '"a"'])).lifetimeSeconds).toBe(0);
  });

  it.each([
    ['no-store', 'no-store'],
    ['private', 'private'],
  ])('§4.3.4 does not keep an entry whose 304 says %s', (value, reason) => {
    expect(freshen(cc('ETag', '"a"'), update(['Cache-Control', value]))).toEqual({ kind: 'not', reason });
  });

  it("§4.3.4 keeps the entry's Vary values, and its tags in addition to new ones", () => {
    const meta = stored(['Cache-Control', 'max-age=10', 'ETag', '"a"', 'Vary', 'Foo', 'xkey', 'one'], {
      request: get('Foo', '1'),
    });
    const decision = freshen(meta, update(['xkey', 'two'], { request: get('Foo', '2') }));
    expect(decision).toMatchObject({ meta: { varyValues: ['1'], responseTags: ['tag:one', 'tag:two'] } });
  });

  it('§3.4 freshens a part as a part', () => {
    const part = stored(['Cache-Control', 'max-age=10', 'ETag', '"a"', 'Content-Range', 'bytes 0-4/10'], {
      status: 206,
      request: get('Range', 'bytes=0-4'),
    });
    expect(freshened(part)).toMatchObject({ status: 206, part: part.part });
  });
});

describe('§4.3.5 HEAD', () => {
  const meta = cc('ETag', '"a"', 'Content-Length', '10', 'X-A', '1');
  const byHead = (status: number, ...fields: string[]) =>
    freshenByHead(meta, status, update(fields, { request: { method: 'HEAD', fields: [] } }));

  it('§4.3.5 freshens the entry of the same representation', () => {
    const verdict = byHead(
      200,
      'Cache-Control',
      'max-age=500',
      'ETag',
      '"a"',
      'Content-Length',
      '10',
      'X-A',
      '2',
    );
    expect(verdict).toMatchObject({ kind: 'freshened', meta: { lifetimeSeconds: 500 } });
    expect(verdict.kind === 'freshened' && fieldValue(verdict.meta.fields, 'x-a')).toBe('2');
  });

  it('§4.3.5 does not count a missing field as a difference', () => {
    expect(byHead(200, 'Cache-Control', 'max-age=500').kind).toBe('freshened');
  });

  it.each([
    ['ETag', '"b"'],
    ['Content-Length', '11'],
    ['Last-Modified', 'Thu, 18 Aug 2050 02:01:18 GMT'],
  ])('§4.3.5 invalidates the entry where %s differs', (name, value) => {
    expect(byHead(200, name, value).kind).toBe('invalid');
  });

  it.each([404, 410, 301, 204])('§4.3.5 invalidates the entry after %i', (status) => {
    expect(byHead(status).kind).toBe('invalid');
  });

  it.each([304, 401, 405, 429, 500, 503])('§4.3.5 leaves the entry unchanged after %i', (status) => {
    expect(byHead(status).kind).toBe('unchanged');
  });

  it('§4.3.5 invalidates the entry that may no longer be stored', () => {
    expect(byHead(200, 'Cache-Control', 'no-store').kind).toBe('invalid');
  });
});
