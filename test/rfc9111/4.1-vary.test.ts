import { describe, expect, it } from 'vitest';
import type { Fields } from '../../policies/http/fields.ts';
import { freshen } from '../../policies/rfc9111/validation.ts';
import { secondaryKey, selectVariant, varyOf } from '../../policies/rfc9111/vary.ts';
import { dateIn, get, NOW_MS, policy, refusal, stored } from './given.ts';

function entry(vary: string | null, requestFields: Fields, ...more: string[]) {
  const fields = ['Cache-Control', 'max-age=60', ...(vary === null ? [] : ['Vary', vary]), ...more];
  return { meta: stored(fields, { request: get(...requestFields) }) };
}

function matches(vary: string, stored: Fields, asked: Fields): boolean {
  return selectVariant([entry(vary, stored)], get(...asked)) === 0;
}

const al = (stored: string, asked: string): boolean =>
  matches('Accept-Language', ['Accept-Language', stored], ['Accept-Language', asked]);

describe('§4.1 Vary', () => {
  it.each(['*', '*, *', 'Accept, *', '*, Accept', ', *', ' * '])(
    '§4.1 never stores with Vary: %s',
    (value) => {
      expect(refusal(['Cache-Control', 'max-age=60', 'Vary', value])).toBe('vary-star');
    },
  );

  it('§4.1 never stores where one of several Vary lines has a star or is malformed', () => {
    expect(refusal(['Cache-Control', 'max-age=60', 'Vary', 'Accept', 'vary', '*'])).toBe('vary-star');
    expect(refusal(['Cache-Control', 'max-age=60', 'Vary', 'Accept Encoding'])).toBe('vary-star');
  });

  it('§4.1 reads names over all lines, case-insensitively, each once', () => {
    expect(varyOf(['Vary', 'B, a', 'vary', 'A,,C'])).toEqual({ kind: 'names', names: ['a', 'b', 'c'] });
    expect(varyOf(['Vary', ''])).toEqual({ kind: 'names', names: [] });
  });

  it('§4.1 requires every named field to match', () => {
    expect(matches('Foo', ['Foo', '1'], ['foo', '1'])).toBe(true);
    expect(matches('Foo', ['Foo', '1'], ['Foo', '2'])).toBe(false);
    expect(matches('Foo, Bar', ['Foo', '1', 'Bar', '2'], ['Bar', '2', 'Foo', '1', 'Baz', '3'])).toBe(true);
    expect(matches('Foo, Bar', ['Foo', '1', 'Bar', '2'], ['Bar', '3', 'Foo', '1'])).toBe(false);
  });

  it('§4.1 matches absence only with absence, not with an empty value', () => {
    expect(matches('Foo', [], [])).toBe(true);
    expect(matches('Foo', [], ['Foo', ''])).toBe(false);
    expect(matches('Foo', ['Foo', ''], [])).toBe(false);
    expect(matches('Foo', ['Foo', ''], ['Foo', ''])).toBe(true);
    expect(matches('Foo', [], ['Foo', '1'])).toBe(false);
    expect(matches('Foo', ['Foo', '1'], [])).toBe(false);
  });

  it('§4.1 combines lines and ignores white space around commas', () => {
    expect(matches('Foo', ['Foo', '1, 2'], ['Foo', '1', 'Foo', '2'])).toBe(true);
    expect(matches('Foo', ['Foo', '1,2'], ['Foo', ' 1 ,\t2 '])).toBe(true);
    expect(matches('Foo', ['Foo', '1, 2'], ['Foo', '2, 1'])).toBe(false);
    expect(matches('Foo', ['Foo', 'a'], ['Foo', 'A'])).toBe(false);
    expect(matches('Foo', ['Foo', '"a,b"'], ['Foo', '"a, b"'])).toBe(false);
  });

  it.each([
    ['Cookie', 'sid=a,b', 'sid=a,,b'],
    ['Cookie', 'sid=a,b', 'sid=a, b'],
    ['User-Agent', 'A (x,y)', 'A (x, y)'],
    ['Referer', '/a,b', '/a, b'],
    ['Foo', 'a,b', 'a,,b'],
    ['Foo', 'a', 'a,'],
  ])('§4.1 distinguishes values that may mean different things: %s: %s and %s', (name, one, other) => {
    expect(matches(name, [name, one], [name, other])).toBe(false);
    expect(matches(name, [name, other], [name, one])).toBe(false);
    expect(matches(name, [name, other], [name, other])).toBe(true);
  });

  it.each(['Via', 'Forwarded', 'X-Forwarded-For'])(
    '§4.1 matches %s by what was sent to the origin, not by what the client sent',
    (name) => {
      const asked = (own: string, written: string) => ({
        ...get(name, own),
        written: [name, written],
      });
      const fields = ['Cache-Control', 'max-age=60', 'Vary', name];
      const entries = [{ meta: stored(fields, { request: asked('same', 'one') }) }];
      expect(selectVariant(entries, asked('other', 'one'))).toBe(0);
      expect(selectVariant(entries, asked('same', 'two'))).toBe(-1);
      expect(selectVariant(entries, get(name, 'one'))).toBe(-1);
    },
  );

  it('§4.1 compares Accept-Language without case, white space and order, but with weights', () => {
    expect(al('en, de', 'EN,de')).toBe(true);
    expect(al('en;q=0.5, de', 'de, en; q=0.50')).toBe(true);
    expect(al('en, de', 'en, fr')).toBe(false);
    expect(al('en, de', 'de, en')).toBe(true);
    expect(al('en, de', 'en;q=0.9, de')).toBe(false);
  });

  it('§4.1 selects a variant in the most preferred language, and no other', () => {
    const german = entry('Accept-Language', ['Accept-Language', 'en, de'], 'Content-Language', 'de');
    const answers = (value: string) => selectVariant([german], get('Accept-Language', value)) === 0;
    expect(['de', 'DE, en;q=0.9', 'fr;q=0.5, de;q=1.0'].filter((value) => !answers(value))).toEqual([]);
    expect(['fr, de', 'fr, de;q=0.9', 'de-CH', '*', 'de;q=0', 'en', 'de, de;q=x'].filter(answers)).toEqual(
      [],
    );
  });

  it('§4.1 compares Accept-Encoding as a set; a client may offer fewer codings if the selected one is among them', () => {
    const gzip = entry('Accept-Encoding', ['Accept-Encoding', 'gzip, br, zstd'], 'Content-Encoding', 'gzip');
    const answers = (value: string) => selectVariant([gzip], get('Accept-Encoding', value)) === 0;
    expect(['zstd,br,gzip', 'gzip', 'br, gzip', 'x-gzip', 'GZIP'].filter((value) => !answers(value))).toEqual(
      [],
    );
    expect(
      ['br', '', 'identity', 'gzip, deflate', 'gzip;q=0', 'gzip;q=0.5, br', '*', 'gzip, *'].filter(answers),
    ).toEqual([]);
    expect(selectVariant([gzip], get())).toBe(-1);
  });

  it('§4.1 selects no uncompressed response for a client that offers more than the stored request', () => {
    const plain = entry('Accept-Encoding', ['Accept-Encoding', 'br']);
    expect(selectVariant([plain], get('Accept-Encoding', 'br, gzip'))).toBe(-1);
    expect(selectVariant([plain], get('Accept-Encoding', 'br'))).toBe(0);
  });

  it('§4.1 selects the newest of several that match, by Date', () => {
    const older = entry('Foo', ['Foo', '1'], 'Date', dateIn(-20));
    const newer = entry('Foo', ['Foo', '1'], 'Date', dateIn(-10));
    expect(selectVariant([older, newer], get('Foo', '1'))).toBe(1);
    expect(selectVariant([newer, older], get('Foo', '1'))).toBe(0);
  });

  it('§4.1 prefers a response with Vary to one without', () => {
    const varied = entry('Foo', ['Foo', '1'], 'Date', dateIn(-20));
    const plain = entry(null, [], 'Date', dateIn(-10));
    expect(selectVariant([plain, varied], get('Foo', '1'))).toBe(1);
    expect(selectVariant([plain, varied], get('Foo', '2'))).toBe(0);
  });

  it('§4.1 selects each of three variants and none for a fourth', () => {
    const entries = ['1', '2', '3'].map((value) => entry('Foo', ['Foo', value]));
    expect(['1', '2', '3', '4'].map((value) => selectVariant(entries, get('Foo', value)))).toEqual([
      0, 1, 2, -1,
    ]);
  });

  it('§4.1 distinguishes values that differ in a byte 0xA0, which is the last byte of some characters in UTF-8', () => {
    expect(matches('Foo', ['Foo', 'voil\u00c3\u00a0'], ['Foo', 'voil\u00c3'])).toBe(false);
    expect(matches('Cookie', ['Cookie', 'a=\u00c3\u00a0'], ['Cookie', 'a=\u00c3'])).toBe(false);
    expect(matches('Foo', ['Foo', 'x\u00a0, y'], ['Foo', 'x, y'])).toBe(false);
  });

  it('§4.1 does not store where the fields that Vary names are larger than max-vary', () => {
    const bounded = { policy: policy({ maxVaryBytes: 20 }) };
    const ofFoo = (...asked: string[]) =>
      refusal(['Cache-Control', 'max-age=60', 'Vary', 'Foo, Bar'], { ...bounded, request: get(...asked) });
    expect(ofFoo('Foo', 'x'.repeat(14))).toBe('stored');
    expect(ofFoo('Foo', 'x'.repeat(15))).toBe('vary-too-large');
    expect(ofFoo('Foo', 'x'.repeat(10), 'Bar', 'x'.repeat(5))).toBe('vary-too-large');
    expect(ofFoo('Foo', 'x', 'Foo', 'x'.repeat(12))).toBe('vary-too-large');
    expect(ofFoo('Foo', ' '.repeat(20))).toBe('vary-too-large');
    expect(ofFoo('Baz', 'x'.repeat(40))).toBe('stored');
  });

  it("§4.1 keeps the stored request's values in an update whose request has larger ones", () => {
    const meta = stored(['Cache-Control', 'max-age=60', 'Vary', 'Foo', 'ETag', '"a"'], {
      request: get('Foo', '1'),
    });
    const update = {
      request: get('Foo', 'x'.repeat(9_000)),
      fields: ['ETag', '"a"'],
      requestTimeMs: NOW_MS,
      responseTimeMs: NOW_MS,
      policy: policy(),
      authority: 'shop.example',
    };
    expect(freshen(meta, update)).toMatchObject({ kind: 'store', meta: { varyValues: ['1'] } });
  });

  it('§4.1 compares an Accept-Encoding with too many codings only as a whole', () => {
    const many = Array.from({ length: 40 }, (_, i) => `c${i}`).join();
    const asked = (offered: string) =>
      matches('Accept-Encoding', ['Accept-Encoding', `gzip,${many}`], ['Accept-Encoding', offered]);
    expect([`gzip,${many}`, `${many},gzip`].map(asked)).toEqual([true, true]);
    expect(['gzip', 'c1', many].map(asked)).toEqual([false, false, false]);
  });

  it('§4.1 gives different values different secondary keys', () => {
    const keys = [[], ['A', ''], ['A', 'x'], ['A', 'x', 'B', 'y'], ['B', 'x']].map((fields) =>
      secondaryKey(['a', 'b'], get(...fields), 4096),
    );
    expect(new Set(keys).size).toBe(keys.length);
    expect(secondaryKey(['a'], get('A', '1', 'a', '2'), 4096)).toBe(
      secondaryKey(['a'], get('a', '1,2'), 4096),
    );
  });
});
