import { describe, expect, it } from 'vitest';
import {
  CHUNK_BYTES,
  chunkKey,
  numberKey,
  numberOf,
  openChunk,
  sealChunk,
  SEALED_CHUNK_BYTES,
} from '../../../proxy/store/disk/format.ts';
import { PAGE_BYTES } from '../../../proxy/state/file-check.ts';
import { fc } from '../../support/properties.ts';
import { entryId } from './support/entries.ts';

const scratch = Buffer.alloc(SEALED_CHUNK_BYTES);

describe('a chunk on disk', () => {
  it('fills its pages to the last byte', () => {
    expect((SEALED_CHUNK_BYTES + 24) % PAGE_BYTES).toBe(0);
  });

  it('reads back unchanged, and is rejected with a changed byte, cut short or under another key', () => {
    const key = chunkKey(entryId(1), 3);
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 200 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (bytes, at, flip) => {
          const sealed = Buffer.from(sealChunk(key, bytes, scratch));
          expect(openChunk(key, sealed)).toEqual(Buffer.from(bytes));
          expect(openChunk(chunkKey(entryId(1), 4), sealed)).toBeNull();
          expect(openChunk(chunkKey(entryId(2), 3), sealed)).toBeNull();
          expect(openChunk(key, sealed.subarray(0, at % sealed.length))).toBeNull();
          sealed[at % sealed.length]! ^= flip;
          expect(openChunk(key, sealed)).toBeNull();
        },
      ),
    );
  });

  it('may have the largest size', () => {
    const key = chunkKey(entryId(1), 0);
    const bytes = Buffer.alloc(CHUNK_BYTES, 'x');
    expect(openChunk(key, Buffer.from(sealChunk(key, bytes, scratch)))).toEqual(bytes);
  });
});

describe('a number on disk', () => {
  it('reads back as it was, and sorts as numbers do', () => {
    const sorts = fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (a, b) => {
      expect(numberOf(numberKey(a))).toBe(a);
      expect(Math.sign(Buffer.compare(numberKey(a), numberKey(b)))).toBe(Math.sign(a - b));
    });
    fc.assert(sorts);
  });
});
