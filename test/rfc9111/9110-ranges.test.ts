import { describe, expect, it } from 'vitest';
import type { Fields } from '../../policies/http/fields.ts';
import { BOUNDARY_LENGTH, decideRange, MAX_RANGES, multipartLayout } from '../../policies/rfc9110/ranges.ts';
import { fieldValues, hasField } from '../../policies/http/fields.ts';
import {
  combinedMeta,
  combinedPart,
  completionFields,
  decidePart,
  replaces,
} from '../../policies/rfc9111/parts.ts';
import { selectVariant } from '../../policies/rfc9111/vary.ts';
import { dateIn, get, stored } from './given.ts';

const META = stored(['Cache-Control', 'max-age=60', 'ETag', '"a"', 'Last-Modified', dateIn(-100)]);
const range = (value: string, sizeBytes = 1000, more: Fields = [], meta = META) =>
  decideRange(get('Range', value, ...more), meta, sizeBytes);

const apart = (count: number) =>
  `bytes=${Array.from({ length: count }, (_, i) => `${i * 3}-${i * 3}`).join()}`;

describe('RFC 9110 §14 ranges', () => {
  it.each([
    ['bytes=0-0', 0, 0],
    ['bytes=0-499', 0, 499],
    ['bytes=500-', 500, 999],
    ['bytes=-1', 999, 999],
    ['bytes=-5000', 0, 999],
    ['bytes=999-5000', 999, 999],
    ['BYTES=0-1', 0, 1],
    ['bytes= 0-1 ,', 0, 1],
    ['bytes=5000-, 0-1', 0, 1],
    ['bytes=0-99999999999999999999', 0, 999],
    ['bytes=009-00010', 9, 10],
  ])('RFC 9110 §14.1 %s is one range', (value, first, last) => {
    expect(range(value)).toEqual({
      kind: 'single',
      range: { first, last },
      contentRange: `bytes ${first}-${last}/1000`,
    });
  });

  it.each(['bytes=1000-', 'bytes=1000-1001', 'bytes=-0', 'bytes=99999999999999999999-'])(
    'RFC 9110 §15.5.17 %s is unsatisfiable',
    (value) => {
      expect(range(value)).toEqual({ kind: 'unsatisfiable', contentRange: 'bytes */1000' });
    },
  );

  it('RFC 9110 §14.1.2 are unsatisfiable in empty content', () => {
    expect(range('bytes=0-', 0).kind).toBe('unsatisfiable');
    expect(range('bytes=-5', 0).kind).toBe('unsatisfiable');
  });

  it.each([
    'bytes=',
    'bytes=-',
    'bytes=5-4',
    'bytes=9007199254740993-9007199254740992',
    'bytes=a-b',
    'bytes=0-1-2',
    'items=0-1',
    '0-1',
    'bytes 0-1',
    'bytes=0-1, x',
    'bytes=+0-1',
    '',
  ])('RFC 9110 §14.2 %s is ignored', (value) => {
    expect(range(value)).toEqual({ kind: 'whole' });
  });

  it('RFC 9110 §14.2 apply only to GET and a 200, and to a single field', () => {
    expect(decideRange({ method: 'HEAD', fields: ['Range', 'bytes=0-1'] }, META, 9).kind).toBe('whole');
    expect(range('bytes=0-1', 9, [], { ...META, status: 404 }).kind).toBe('whole');
    expect(range('bytes=0-1', 9, ['Range', 'bytes=2-3']).kind).toBe('whole');
    expect(decideRange(get(), META, 9).kind).toBe('whole');
  });

  it('RFC 9110 §14.6 are sent in the requested order', () => {
    expect(range('bytes=500-599, 0-9, -1')).toEqual({
      kind: 'multiple',
      ranges: [
        { first: 500, last: 599 },
        { first: 0, last: 9 },
        { first: 999, last: 999 },
      ],
    });
  });

  it('RFC 9110 §14.2 that are too many, or of which more than two overlap, get the whole', () => {
    expect(range(apart(MAX_RANGES), 10_000).kind).toBe('multiple');
    expect(range(apart(MAX_RANGES + 1), 10_000).kind).toBe('whole');
    expect(range('bytes=0-9,5-14').kind).toBe('multiple');
    expect(range('bytes=0-,0-,0-').kind).toBe('whole');
  });

  it('RFC 9110 §15.3.7.2 that are not smaller than the whole get the whole', () => {
    const pixels = 'bytes=0-0,2-2,4-4';
    expect(range(pixels, 100).kind).toBe('whole');
    expect(range('bytes=0-0,-1', 100).kind).toBe('whole');
    expect(range('bytes=0-499,500-999').kind).toBe('whole');
    expect(range('bytes=0-0', 2).kind).toBe('single');
    const { contentLength } = multipartLayout(
      [0, 2, 4].map((at) => ({ first: at, last: at })),
      { type: undefined, sizeBytes: 300, boundary: 'b'.repeat(BOUNDARY_LENGTH) },
    );
    expect(contentLength).toBeGreaterThan(100);
    expect(range(pixels, contentLength).kind).toBe('whole');
    expect(range(pixels, contentLength + 1).kind).toBe('multiple');
    // Each part repeats the type.
    const typed = stored(['Cache-Control', 'max-age=60', 'Content-Type', 'text/plain']);
    expect(range(pixels, contentLength + 1, [], typed).kind).toBe('whole');
  });

  it('RFC 9110 §14.6 computes the layout of multipart/byteranges exactly', () => {
    const layout = multipartLayout(
      [
        { first: 0, last: 1 },
        { first: 4, last: 4 },
      ],
      { type: 'text/plain', sizeBytes: 6, boundary: 'B' },
    );
    const body = `${layout.heads[0]}ab${layout.heads[1]}e${layout.tail}`;
    expect(body).toBe(
      '--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/6\r\n\r\nab' +
        '\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 4-4/6\r\n\r\ne\r\n--B--\r\n',
    );
    expect(layout.contentLength).toBe(body.length);
    expect(layout.contentType).toBe('multipart/byteranges; boundary=B');
  });

  it.each([
    ['"a"', true],
    ['"b"', false],
    ['W/"a"', false],
    [dateIn(-100), true],
    [dateIn(-99), false],
    [dateIn(0), false],
    ['broken', false],
    ['"a", "b"', false],
  ])('RFC 9110 §13.1.5 If-Range with the value %s is evaluated', (value, holds) => {
    expect(range('bytes=0-1', 9, ['If-Range', value]).kind).toBe(holds ? 'single' : 'whole');
    // Without a match the whole is sent, even for an unsatisfiable range.
    expect(range('bytes=90-', 9, ['If-Range', value]).kind).toBe(holds ? 'unsatisfiable' : 'whole');
  });

  it('RFC 9110 §13.1.5 If-Range with a weak tag or date never matches', () => {
    const weak = stored(['Cache-Control', 'max-age=60', 'ETag', 'W/"a"']);
    expect(range('bytes=0-1', 9, ['If-Range', 'W/"a"'], weak).kind).toBe('whole');
    const recent = stored(['Cache-Control', 'max-age=60', 'Last-Modified', dateIn(0)]);
    expect(range('bytes=0-1', 9, ['If-Range', dateIn(0)], recent).kind).toBe('whole');
  });
});

const part = (contentRange: string, etag = '"a"') =>
  stored(['Cache-Control', 'max-age=60', 'ETag', etag, 'Content-Range', contentRange], {
    status: 206,
    request: get('Range', 'bytes=0-'),
  });

describe('§3.3 and §3.4 stored parts', () => {
  it('§3.3 answer a range within them', () => {
    expect(decidePart(get('Range', 'bytes=6-7'), part('bytes 5-9/10'))).toEqual({
      kind: 'slice',
      offset: 1,
      lengthBytes: 2,
      contentRange: 'bytes 6-7/10',
    });
    expect(decidePart(get('Range', 'bytes=-5'), part('bytes 5-9/10'))).toMatchObject({
      offset: 0,
      lengthBytes: 5,
    });
    expect(decidePart(get('Range', 'bytes=5-'), part('bytes 5-9/10'))).toMatchObject({ kind: 'slice' });
  });

  it('§3.3 answer nothing else', () => {
    const stored = part('bytes 5-9/20');
    for (const value of ['bytes=4-9', 'bytes=5-10', 'bytes=-5', 'bytes=5-', 'bytes=5-6,7-8', 'bytes=x']) {
      expect(decidePart(get('Range', value), stored).kind, value).toBe('insufficient');
    }
    expect(decidePart(get(), stored).kind).toBe('insufficient');
    expect(decidePart(get('Range', 'bytes=5-6', 'If-Range', '"b"'), stored).kind).toBe('insufficient');
    expect(decidePart(get('Range', 'bytes=5-'), part('bytes 5-9/*')).kind).toBe('insufficient');
    expect(decidePart(get('Range', 'bytes=-5'), part('bytes 5-9/*')).kind).toBe('insufficient');
  });

  it('§3.4 make a request fetch what they lack', () => {
    expect(completionFields(part('bytes 0-4/10'))).toEqual(['Range', 'bytes=5-', 'If-Range', '"a"']);
    expect(completionFields(part('bytes 5-9/10'))).toEqual(['Range', 'bytes=0-4', 'If-Range', '"a"']);
    expect(completionFields(part('bytes 4-5/10'))).toBe(null);
    expect(completionFields(part('bytes 0-4/*'))).toBe(null);
    expect(completionFields(part('bytes 0-4/10', 'W/"a"'))).toBe(null);
  });

  it('§3.4 are combined if they touch and share a strong validator', () => {
    expect(combinedPart(part('bytes 0-4/10'), part('bytes 5-9/10'))).toEqual({
      first: 0,
      last: 9,
      completeBytes: 10,
    });
    expect(combinedPart(part('bytes 0-4/10'), part('bytes 6-9/10'))).toBe(null);
    expect(combinedPart(part('bytes 0-4/10'), part('bytes 5-9/10', '"b"'))).toBe(null);
    expect(combinedPart(part('bytes 0-4/10', 'W/"a"'), part('bytes 5-9/10', 'W/"a"'))).toBe(null);
    expect(combinedPart(part('bytes 0-4/10'), part('bytes 5-9/11'))).toBe(null);
  });
});

describe('§3.4 the metadata of combined parts', () => {
  const made = (first: string, second: string) => combinedMeta(part(first), part(second));

  it('§3.4 is a 200 without Content-Range if they make up the whole', () => {
    const whole = made('bytes 5-9/10', 'bytes 0-4/10');
    expect(whole).toMatchObject({ status: 200, part: null });
    expect(hasField(whole!.fields, 'content-range')).toBe(false);
  });

  it('§3.4 is a 206 with Content-Range otherwise', () => {
    const more = made('bytes 5-7/10', 'bytes 2-4/10');
    expect(more).toMatchObject({ status: 206, part: { first: 2, last: 7, completeBytes: 10 } });
    expect(fieldValues(more!.fields, 'content-range')).toEqual(['bytes 2-7/10']);
    expect(made('bytes 0-4/*', 'bytes 5-9/*')).toMatchObject({ status: 206, part: { first: 0, last: 9 } });
    expect(made('bytes 0-3/10', 'bytes 5-9/10')).toBe(null);
  });

  it('§3.4 prefers the newer response’s fields', () => {
    const said = (contentRange: string, ...more: string[]) =>
      stored(['Cache-Control', 'max-age=60', 'ETag', '"a"', 'Content-Range', contentRange, ...more], {
        status: 206,
        request: get('Range', 'bytes=0-'),
      });
    const newer = said('bytes 5-9/10', 'A', 'new', 'Surrogate-Key', 'x');
    const older = said('bytes 0-4/10', 'A', 'old', 'B', 'old', 'Surrogate-Key', 'y');
    const whole = combinedMeta(newer, older)!;
    expect([fieldValues(whole.fields, 'a'), fieldValues(whole.fields, 'b')]).toEqual([['new'], ['old']]);
    expect(whole.responseTags).toEqual([...newer.responseTags, ...older.responseTags]);
  });
});

describe('§3.3 entries that a response replaces', () => {
  const whole = stored(['Cache-Control', 'max-age=60']);
  const french = stored(['Cache-Control', 'max-age=60', 'Vary', 'Accept-Language'], {
    request: get('Accept-Language', 'fr'),
  });

  it('§3.3 are a whole and every part for a whole, and overlapping parts for a part', () => {
    expect(replaces(whole, whole)).toBe(true);
    expect(replaces(whole, part('bytes 0-4/10'))).toBe(true);
    expect(replaces(part('bytes 0-4/10'), whole)).toBe(false);
    expect(replaces(part('bytes 4-6/10'), part('bytes 0-4/10'))).toBe(true);
    expect(replaces(part('bytes 5-6/10'), part('bytes 0-4/10'))).toBe(false);
  });

  it('§4.1 are never of another variant', () => {
    expect(replaces(whole, french)).toBe(false);
    expect(replaces(french, french)).toBe(true);
  });
});

describe('§3.3 choosing between a whole and its parts', () => {
  const whole = { meta: stored(['Cache-Control', 'max-age=60', 'ETag', '"a"', 'Date', dateIn(-30)]) };
  const firstHalf = { meta: part('bytes 0-4/10') };

  it('§3.3 a part never answers for the whole', () => {
    expect(selectVariant([firstHalf], get())).toBe(-1);
    expect(selectVariant([firstHalf], get('Range', 'bytes=5-9'))).toBe(-1);
    expect(selectVariant([firstHalf], get('Range', 'bytes=1-2'))).toBe(0);
  });

  it('§3.3 a whole precedes a part', () => {
    expect(selectVariant([firstHalf, whole], get('Range', 'bytes=1-2'))).toBe(1);
  });
});
