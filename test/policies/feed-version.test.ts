import { describe, expect, it } from 'vitest';
import type { Change } from '../../policies/change.ts';
import { markAfter, NO_MARK, readVersion, versionOf } from '../../policies/feed-version.ts';

describe('a version', () => {
  it.each([
    ['0', 0n],
    ['18446744073709551616', 2n ** 64n],
    ['16/B374D848', 0x16b374d848n],
    ['0/0', 0n],
  ])('is read from %s', (text, version) => {
    expect(readVersion(text)).toBe(version);
  });

  it.each(['', '-1', '1.5', '1e3', '0x10', ' 1', '1/2/3', '123456789/0', '2026-01-01', '9'.repeat(40)])(
    'is not read from %o',
    (text) => {
      expect(readVersion(text)).toBeNull();
    },
  );

  const change = (after: Change['after'], before: Change['before'] = null): Change => ({
    message: [{ source: { lsn: '7' } }],
    before,
    after,
    known: 'all',
  });

  it('is, for a change, the highest one at the path in the message and in both rows', () => {
    expect(versionOf(change({ v: 9 }, { v: 10 }), 'v')).toBe(10n);
    expect(versionOf(change({ v: 9 }), 'source.lsn')).toBe(7n);
    expect(versionOf(change({ v: [3, 4] }), 'v')).toBe(4n);
  });

  it('is none for a change where it is missing or malformed', () => {
    expect(versionOf(change({ v: null }), 'v')).toBeNull();
    expect(versionOf(change({}), 'v')).toBeNull();
    expect(versionOf(change({ v: 9 }, { v: 'x' }), 'v')).toBeNull();
  });
});

describe('the version that a response has to attest', () => {
  const changeOf = (version: bigint | null) => ({ as: 'change', tags: ['a'], version }) as const;

  it('is the highest version so far, in any order', () => {
    expect([changeOf(3n), changeOf(1n), changeOf(2n)].reduce(markAfter, NO_MARK)).toEqual({
      highest: 3n,
      isKnown: true,
    });
  });

  it('is unknown after a change without a version, until the next change with one', () => {
    const unknown = [changeOf(3n), changeOf(null)].reduce(markAfter, NO_MARK);
    expect(unknown.isKnown).toBe(false);
    expect(markAfter(unknown, changeOf(2n))).toEqual({ highest: 3n, isKnown: true });
  });

  it('is reset by a gap, and unchanged by changes that invalidate nothing', () => {
    const mark = markAfter(NO_MARK, changeOf(3n));
    expect(markAfter(mark, { as: 'change', tags: [], version: null })).toBe(mark);
    expect(markAfter(mark, { as: 'gap', tags: ['feed:a'], version: null })).toEqual(NO_MARK);
  });
});
