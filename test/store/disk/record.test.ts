import { describe, expect, it } from 'vitest';
import type { LifetimeSource, StoredMeta } from '../../../policies/model.ts';
import type { EntryHead } from '../../../proxy/store/entry-head.ts';
import { digestOf, INLINE_BYTES, SMALL_BYTES } from '../../../proxy/store/disk/format.ts';
import { headOf, inlineContent, isSound, sealed, summaryOf } from '../../../proxy/store/disk/record.ts';
import { openRow, sealRow } from '../../../proxy/store/disk/row.ts';
import { fc } from '../../support/properties.ts';
import { content, entry, entryId } from './support/entries.ts';

const SOURCES: LifetimeSource[] = ['targeted', 's-maxage', 'max-age', 'expires', 'heuristic', 'default-ttl'];
const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string(), fc.constant('x'.repeat(70_000)));
const texts = fc.array(text, { maxLength: 8 });
const number = fc.oneof(fc.maxSafeInteger(), fc.double({ noNaN: true }));

const metas: fc.Arbitrary<StoredMeta> = fc.record({
  status: fc.integer({ min: 100, max: 599 }),
  fields: texts,
  requestTimeMs: number,
  responseTimeMs: number,
  initialAgeSeconds: number,
  lifetimeSeconds: number,
  lifetimeSource: fc.constantFrom(...SOURCES, 'fixed', 'negative-ttl', 'until-changed', 'none'),
  headerLifetimeSeconds: number,
  dateMs: number,
  noCache: fc.boolean(),
  mustRevalidate: fc.boolean(),
  staleWhileRevalidateSeconds: number,
  staleIfErrorSeconds: number,
  vary: texts,
  varyValues: fc.array(fc.option(text), { maxLength: 4 }),
  etag: fc.option(text),
  lastModifiedMs: fc.option(number),
  lastModifiedStrong: fc.boolean(),
  part: fc.option(
    fc.record({ first: fc.maxSafeNat(), last: fc.maxSafeNat(), completeBytes: fc.option(fc.maxSafeNat()) }),
  ),
  responseTags: texts,
});

const heads: fc.Arbitrary<EntryHead> = fc
  .record({
    key: text,
    route: text,
    origin: text,
    url: text,
    meta: metas,
    tags: texts,
    tagHashes: fc.uint32Array({ maxLength: 20 }),
    floor: fc.maxSafeNat(),
    sizeBytes: fc.oneof(fc.nat({ max: 100 }), fc.nat({ max: SMALL_BYTES * 2 })),
    evictLast: fc.boolean(),
    possiblyStale: fc.boolean(),
  })
  .map((changes) => entry(1, changes));

/** As it is stored: the record, and the content behind it. */
function stored(head: EntryHead): { record: Buffer; rest: Buffer } {
  const body = head.sizeBytes <= SMALL_BYTES ? [content(1, head.sizeBytes)] : [];
  const bytes = sealed(head, body, 7);
  const { recordBytes } = summaryOf(bytes);
  return { record: bytes.subarray(0, recordBytes), rest: bytes.subarray(recordBytes) };
}

describe('a record on disk', () => {
  it('reads back as it was', () => {
    const readsBack = fc.property(heads, (head) => {
      const { record, rest } = stored(head);
      expect(isSound(record)).toBe(true);
      expect(headOf(record)).toEqual(head);
      const { id, key, floor, sizeBytes, evictLast, possiblyStale } = head;
      const expected = { id, digest: digestOf(key), floor, sizeBytes, evictLast, possiblyStale };
      expect(summaryOf(record)).toMatchObject({ ...expected, maxVariants: 7 });
      const isInline = sizeBytes <= INLINE_BYTES;
      expect(inlineContent(record)).toEqual(isInline ? content(1, sizeBytes) : null);
      expect(rest).toEqual(content(1, isInline || sizeBytes > SMALL_BYTES ? 0 : sizeBytes));
    });
    fc.assert(readsBack);
  });

  it('is not sound with any byte changed, or cut', () => {
    const isLost = fc.property(heads, fc.nat(), fc.integer({ min: 1, max: 255 }), (head, at, flip) => {
      const { record } = stored(head);
      expect(isSound(record.subarray(0, at % record.length))).toBe(false);
      record[at % record.length]! ^= flip;
      expect(isSound(record)).toBe(false);
    });
    fc.assert(isLost);
  });

  it('takes content in pieces as if it were one', () => {
    const head = entry(1, { sizeBytes: 5_000 });
    const body = content(1, 5_000);
    const pieces = [body.subarray(0, 10), body.subarray(10, 4_000), body.subarray(4_000)];
    expect(sealed(head, pieces, 64)).toEqual(sealed(head, [body], 64));
  });
});

describe('a row on disk', () => {
  const variants = fc.array(
    fc.record({
      id: fc.nat().map(entryId),
      number: fc.maxSafeNat(),
      floor: fc.maxSafeNat(),
      sizeBytes: fc.maxSafeNat(),
      possiblyStale: fc.boolean(),
      isUpdated: fc.boolean(),
    }),
  );

  it('reads back as it was, and not at all with any byte changed, cut or under another key', () => {
    const key = digestOf('a');
    const holds = fc.property(variants, fc.nat(), fc.integer({ min: 1, max: 255 }), (row, at, flip) => {
      const bytes = sealRow(key, row);
      expect(openRow(key, bytes)).toEqual(row);
      expect(openRow(digestOf('b'), bytes)).toBeNull();
      expect(openRow(key, bytes.subarray(0, at % bytes.length))).toBeNull();
      bytes[at % bytes.length]! ^= flip;
      expect(openRow(key, bytes)).toBeNull();
    });
    fc.assert(holds);
  });
});
