import { describe, expect, it } from 'vitest';
import type { Fields } from '../../policies/http/fields.ts';
import { evaluatePreconditions, notModifiedFields } from '../../policies/rfc9110/preconditions.ts';
import { dateIn, NOW_MS, stored } from './given.ts';

const META = stored(['Cache-Control', 'max-age=60', 'ETag', '"a"', 'Last-Modified', dateIn(-100)]);
const WEAK = stored(['Cache-Control', 'max-age=60', 'ETag', 'W/"a"']);
const BARE = stored(['Cache-Control', 'max-age=60', 'Date', dateIn(-10)]);

const judge = (fields: Fields, meta = META, method = 'GET') =>
  evaluatePreconditions({ method, fields }, meta, NOW_MS);

describe('RFC 9110 §13 preconditions', () => {
  it.each(['"a"', 'W/"a"', '*', ' * ', '"x", "a"', '"x" , W/"a",', '"x,y","a"'])(
    'RFC 9110 §13.1.2 If-None-Match: %s matches the entry, which gives a 304',
    (value) => {
      expect(judge(['If-None-Match', value])).toBe('not-modified');
      expect(judge(['if-none-match', value], META, 'HEAD')).toBe('not-modified');
    },
  );

  it.each(['"b"', 'a', '"a', '"A"', '', '"a"b', '"x, "a"'])(
    'RFC 9110 §13.1.2 If-None-Match: %s does not match',
    (value) => {
      expect(judge(['If-None-Match', value])).toBe('proceed');
    },
  );

  it('RFC 9110 §13.1.2 If-None-Match compares weakly', () => {
    expect(judge(['If-None-Match', '"a"'], WEAK)).toBe('not-modified');
    expect(judge(['If-None-Match', '"x"', 'If-None-Match', '"a"'])).toBe('not-modified');
    expect(judge(['If-None-Match', '"a"'], BARE)).toBe('proceed');
    expect(judge(['If-None-Match', '*'], BARE)).toBe('not-modified');
  });

  it('RFC 9110 §13.1.3 If-Modified-Since compares with Last-Modified, to the second', () => {
    expect(judge(['If-Modified-Since', dateIn(-100)])).toBe('not-modified');
    expect(judge(['If-Modified-Since', dateIn(-50)])).toBe('not-modified');
    expect(judge(['If-Modified-Since', dateIn(-101)])).toBe('proceed');
  });

  it('§4.3.2 If-Modified-Since compares with Date where there is no Last-Modified', () => {
    expect(judge(['If-Modified-Since', dateIn(-10)], BARE)).toBe('not-modified');
    expect(judge(['If-Modified-Since', dateIn(-11)], BARE)).toBe('proceed');
  });

  it.each(['yesterday', '0', '', 'Thu, 18 Aug 2050 02:01:18 AEST'])(
    'RFC 9110 §13.1.3 ignores If-Modified-Since: %s',
    (value) => {
      expect(judge(['If-Modified-Since', value])).toBe('proceed');
    },
  );

  it('RFC 9110 §13.1.3 ignores If-Modified-Since twice, or for other methods', () => {
    expect(judge(['If-Modified-Since', dateIn(0), 'If-Modified-Since', dateIn(0)])).toBe('proceed');
    expect(judge(['If-Modified-Since', dateIn(0)], META, 'POST')).toBe('proceed');
  });

  it('RFC 9110 §13.2.2 If-None-Match precedes If-Modified-Since', () => {
    expect(judge(['If-Modified-Since', dateIn(0), 'If-None-Match', '"b"'])).toBe('proceed');
    expect(judge(['If-Modified-Since', dateIn(-500), 'If-None-Match', '"a"'])).toBe('not-modified');
  });

  it('RFC 9110 §13.1.1 If-Match compares strongly and is evaluated first', () => {
    expect(judge(['If-Match', '"a"'])).toBe('proceed');
    expect(judge(['If-Match', '*'])).toBe('proceed');
    expect(judge(['If-Match', '"b"'])).toBe('failed');
    expect(judge(['If-Match', 'W/"a"'])).toBe('failed');
    expect(judge(['If-Match', '"a"'], WEAK)).toBe('failed');
    expect(judge(['If-None-Match', '"a"', 'If-Match', '"b"'])).toBe('failed');
    expect(judge(['If-None-Match', '"a"', 'If-Match', '"a"'])).toBe('not-modified');
  });

  it('RFC 9110 §13.1.4 evaluates If-Unmodified-Since only without If-Match', () => {
    expect(judge(['If-Unmodified-Since', dateIn(-100)])).toBe('proceed');
    expect(judge(['If-Unmodified-Since', dateIn(-101)])).toBe('failed');
    expect(judge(['If-Unmodified-Since', dateIn(0)], BARE)).toBe('failed');
    expect(judge(['If-Unmodified-Since', 'never'])).toBe('proceed');
    expect(judge(['If-Unmodified-Since', dateIn(-101), 'If-Match', '"a"'])).toBe('proceed');
  });

  it('RFC 9110 §13.2.1 apply only where the response would be successful', () => {
    const missing = stored(['Cache-Control', 'max-age=60', 'ETag', '"a"'], { status: 404 });
    expect(judge(['If-None-Match', '"a"'], missing)).toBe('proceed');
  });
});

describe('the fields of a 304', () => {
  const fieldsOf304 = (fields: string[], targeted: string[] = []) => notModifiedFields(fields, targeted);

  it('RFC 9110 §15.4.5 are those of the 200 that determine lifetime and tags', () => {
    const lifetimes = ['Cache-Control', 'max-age=5', 'CDN-Cache-Control', 'max-age=60', 'Expires', 'e'];
    const others = ['Date', 'd', 'ETag', '"1"', 'Content-Location', '/b', 'Vary', 'Foo', 'Via', '1.1 weir'];
    const tags = ['Surrogate-Key', 'a b', 'Cache-Tag', 'c', 'xkey', 'd', 'Cache-Groups', '"g"'];
    const kept = [...lifetimes, ...others, ...tags];
    expect(fieldsOf304([...kept, 'Content-Type', 'text/plain', 'Content-Length', '5', 'X-A', '1'])).toEqual(
      kept,
    );
    const targeted = ['Weir-Cache-Control', 'max-age=7'];
    expect(fieldsOf304(targeted)).toEqual([]);
    expect(fieldsOf304(targeted, ['weir-cache-control'])).toEqual(targeted);
  });

  it('RFC 9110 §15.4.5 include Last-Modified where there is no ETag', () => {
    expect(fieldsOf304(['Last-Modified', 'm'])).toEqual(['Last-Modified', 'm']);
    expect(fieldsOf304(['Last-Modified', 'm', 'ETag', '"1"'])).toEqual(['ETag', '"1"']);
  });
});
