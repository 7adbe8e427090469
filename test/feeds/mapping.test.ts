import { describe, expect, it } from 'vitest';
import type { Change, DataObject } from '../../policies/change.ts';
import type { FeedConfig, FeedMapping } from '../../policies/config/config.ts';
import { feedDigest } from '../../policies/feed-digest.ts';
import { feedScope } from '../../policies/feed-scope.ts';
import { compileMapping, type MappedChange } from '../../policies/mapping.ts';

function entry(when: FeedMapping['when'], tags: readonly string[] = ['hit']): FeedMapping {
  return { when, invalidate: { tags, urls: [], prefixes: [] } };
}

function map(mapping: FeedMapping | readonly FeedMapping[], change: Change): MappedChange {
  return compileMapping([mapping].flat()).mapChange(change);
}

function change(parts: Partial<Change> & { message?: readonly DataObject[] }): Change {
  return { message: [], before: null, after: null, known: 'all', ...parts };
}

function isMet(when: FeedMapping['when'], parts: Partial<Change>): boolean {
  return !map(entry(when), change(parts)).unmapped;
}

const moved = change({
  message: [{ table: 'products', op: 'update' }],
  before: { id: 1, group: 'a' },
  after: { id: 1, group: 'b' },
});

describe('mapping: what a change names', () => {
  it('uses names of the old and of the new row, both counting', () => {
    expect(map(entry(null, ['product:{id}', 'group:{group}', 'products']), moved).tags).toEqual([
      'product:1',
      'group:a',
      'group:b',
      'products',
    ]);
  });

  it('uses every combination of several names', () => {
    const mapped = map(entry(null, ['{table}/{id}/{group}']), moved);
    expect(mapped.tags).toEqual(['products/1/a', 'products/1/b']);
  });

  it('uses names of the message itself, and dotted ones', () => {
    const parts = change({ message: [{ product: { id: '9007199254740993' }, ok: true }] });
    expect(map(entry(null, ['p:{product.id}', '{ok}']), parts).tags).toEqual(['p:9007199254740993', 'true']);
    expect(map(entry(null, ['{before.group}-{after.group}']), moved).tags).toEqual(['a-b']);
  });

  it('uses each value of a list, of scalars or within objects', () => {
    const parts = change({ message: [{ ids: [1, 2], items: [{ sku: 'x' }, { sku: 'y' }] }] });
    expect(map(entry(null, ['{ids}', '{items.sku}', '{items.1.sku}']), parts).tags).toEqual([
      '1',
      '2',
      'x',
      'y',
    ]);
  });

  it('uses both values of a name in the message and in the row', () => {
    const parts = change({ message: [{ id: 'event' }], after: { id: 'row' } });
    expect(map(entry(null, ['{id}']), parts).tags).toEqual(['event', 'row']);
  });

  it('encodes values for URLs and prefixes, not for tags', () => {
    const mapping: FeedMapping = {
      when: null,
      invalidate: { tags: ['p:{id}'], urls: ['/p/{id}'], prefixes: ['/c/{id}'] },
    };
    expect(map(mapping, change({ after: { id: 'a ü' } }))).toMatchObject({
      tags: ['p:a ü'],
      urls: ['/p/a%20%C3%BC'],
      prefixes: ['/c/a%20%C3%BC'],
    });
  });

  it('combines every entry whose condition holds', () => {
    const mapped = map(
      [entry({ table: 'products' }, ['a']), entry({ table: 'x' }, ['b']), entry(null, ['c'])],
      moved,
    );
    expect(mapped).toMatchObject({ tags: ['a', 'c'], unmapped: false });
  });

  it('reports a change that no entry matches', () => {
    expect(map(entry({ table: 'orders' }), moved)).toEqual({
      tags: [],
      urls: [],
      prefixes: [],
      unmapped: true,
      missing: [],
    });
  });
});

describe('mapping: unknown values', () => {
  it('names the missing values of a template, in addition to the known ones', () => {
    const mapped = map(entry(null, ['product:{id}', 'color:{color}']), moved);
    expect(mapped).toMatchObject({ tags: ['product:1'], missing: ['color'] });
  });

  it.each<[string, DataObject]>([
    ['NULL', { id: null }],
    ['an object', { id: {} }],
    ['an empty list', { id: [] }],
    ['an inherited name', {}],
  ])('takes %s for no value', (_what, after) => {
    const name = 'id' in after ? 'id' : 'constructor.name';
    expect(map(entry(null, [`{${name}}`]), change({ after })).missing).toEqual([name]);
  });

  it('knows that an old value is missing where only the key is known', () => {
    const parts = change({
      message: [{ table: 'products' }],
      before: { id: 1 },
      after: { id: 1, group: 'b' },
      known: 'key-of-before',
    });
    const mapped = map(entry({ table: 'products' }, ['product:{id}', 'group:{group}']), parts);
    expect(mapped).toMatchObject({ tags: ['product:1', 'group:b'], missing: ['group'] });
    expect(map(entry(null, ['product:{id}']), parts).missing).toEqual([]);
  });

  it('counts a condition on an unknown old value as met', () => {
    const parts: Partial<Change> = {
      before: { id: 1 },
      after: { id: 1, group: 'b' },
      known: 'key-of-before',
    };
    expect(isMet({ group: 'a' }, parts)).toBe(true);
    expect(isMet({ id: 2 }, parts)).toBe(false);
  });

  it('counts a condition on unknown rows as met, but not on their table', () => {
    const parts: Partial<Change> = { message: [{ table: 'products', op: 'truncate' }], known: 'no-row' };
    expect(isMet({ group: 'a' }, parts)).toBe(true);
    expect(isMet({ group: { exists: false } }, parts)).toBe(true);
    expect(isMet({ table: 'orders' }, parts)).toBe(false);
    expect(map(entry({ table: 'products' }, ['product:{id}', 'products']), change(parts))).toMatchObject({
      tags: ['products'],
      missing: ['id'],
    });
  });

  it('limits the number of tags', () => {
    const many = Array.from({ length: 101 }, (_, i) => i);
    const parts = change({ message: [{ a: many, b: many }] });
    expect(map(entry(null, ['{a}-{b}']), parts)).toMatchObject({ tags: [], missing: ['a', 'b'] });
  });
});

describe('mapping: conditions', () => {
  const cases: [string, FeedMapping['when'], Partial<Change>, boolean][] = [
    ['equal in the message', { table: 'products' }, moved, true],
    ['equal in the old row', { group: 'a' }, moved, true],
    ['equal in the new row', { group: 'b' }, moved, true],
    ['equal nowhere', { group: 'c' }, moved, false],
    ['a number and its text', { id: '1' }, moved, true],
    ['a boolean and its text', { ok: true }, { after: { ok: 'true' } }, true],
    ['one of', { op: ['insert', 'update'] }, moved, true],
    ['none of', { op: ['insert', 'delete'] }, moved, false],
    ['all paths', { table: 'products', op: 'delete' }, moved, false],
    ['null where it is null', { gone: null }, { after: { gone: null } }, true],
    ['null where it is absent', { gone: null }, moved, true],
    ['null where one row has it', { gone: null }, { before: { gone: 1 }, after: { gone: null } }, true],
    ['null where it has a value', { id: null }, moved, false],
    ['exists', { id: { exists: true } }, moved, true],
    ['exists, of an object', { a: { exists: true } }, { after: { a: {} } }, true],
    ['exists, of NULL', { a: { exists: true } }, { after: { a: null } }, false],
    ['exists, in the old row alone', { a: { exists: true } }, { before: { a: 1 }, after: {} }, true],
    ['does not exist', { id: { exists: false } }, moved, false],
    ['does not exist in one row', { a: { exists: false } }, { before: { a: 1 }, after: {} }, true],
    ['changed', { group: { changed: true } }, moved, true],
    ['did not change', { id: { changed: true } }, moved, false],
    ['changed: false', { id: { changed: false } }, moved, true],
    ['changed: false of what changed', { group: { changed: false } }, moved, false],
    [
      'changed deep inside',
      { a: { changed: true } },
      { before: { a: { b: [1] } }, after: { a: { b: [2] } } },
      true,
    ],
    [
      'the same deep inside',
      { a: { changed: true } },
      { before: { a: { b: [1] } }, after: { a: { b: [1] } } },
      false,
    ],
    ['appeared', { a: { changed: true } }, { before: {}, after: { a: 1 } }, true],
    ['changed, of a row without the old one', { a: { changed: true } }, { after: { a: 1 } }, true],
    ['changed, where no rows are known', { a: { changed: true } }, { message: [{ a: 1 }] }, true],
    [
      'changed, of an unknown old value',
      { a: { changed: true } },
      { before: { id: 1 }, after: { id: 1, a: 1 }, known: 'key-of-before' },
      true,
    ],
  ];

  it.each(cases)('is evaluated: %s', (_what, when, parts, expected) => {
    expect(isMet(when, parts)).toBe(expected);
  });
});

describe("a feed's scope and digest", () => {
  const feed: FeedConfig = {
    name: 'shop-changes',
    type: 'sse',
    format: 'json',
    maxSilenceMs: 1,
    readLagMs: 1,
    versionField: null,
    map: [entry({ a: 1, b: 2 })],
    options: { url: 'http://a/' },
  };

  it('is its own routes, and every origin if the map names anything', () => {
    expect(feedScope({ ...feed, map: [] }, ['a', 'b'])).toEqual(['feed:shop-changes']);
    expect(feedScope(feed, ['a', 'b'])).toEqual(['feed:shop-changes', 'origin:a', 'origin:b']);
  });

  it('differs for another stream or map, and not for another spelling', () => {
    expect(feedDigest({ ...feed, map: [entry({ b: 2, a: 1 })], maxSilenceMs: 9 })).toBe(feedDigest(feed));
    expect(feedDigest({ ...feed, options: { url: 'http://b/' } })).not.toBe(feedDigest(feed));
    expect(feedDigest({ ...feed, map: [entry({ a: 1 })] })).not.toBe(feedDigest(feed));
    expect(feedDigest({ ...feed, format: 'debezium' })).not.toBe(feedDigest(feed));
    expect(feedDigest({ ...feed, versionField: 'version' })).not.toBe(feedDigest(feed));
  });
});
