import { expect, it } from 'vitest';
import { entryTags, PREFIX_SEGMENTS } from '../../policies/tags.ts';
import { TagHasher } from '../../proxy/fence/tag-hash.ts';
import { fc } from '../support/properties.ts';

const KEY = Uint32Array.of(1, 2, 3, 4);

const PATH = fc
  .array(fc.constantFrom('', 'a', 'b', '%61', '%2F', 'é', 'x'.repeat(200)), {
    maxLength: PREFIX_SEGMENTS + 3,
  })
  .map((segments) => `/${segments.join('/')}`);
const ENTRY = fc.record({
  authority: fc.constantFrom('shop.example', 'shop.example:8080', '[::1]:80', 'Shop.Example'),
  path: PATH,
  query: fc.constantFrom('', 'a=1', 'a=%31+b'),
  route: fc.constantFrom('r', 's'),
  origin: fc.constantFrom('o', 'p'),
  feed: fc.constantFrom(null, 'f'),
  extra: fc.array(fc.constantFrom('tag:x', 'tag:y'), { maxLength: 3 }),
});

it('the tags of an entry are hashed alike, whichever entries of its directory came before', () => {
  const hasher = new TagHasher(KEY);
  fc.assert(
    fc.property(ENTRY, (entry) => {
      const { tags, tagHashes } = hasher.ofEntry(entry);
      expect(tags).toEqual(entryTags(entry));
      expect(new Set(tags).size).toBe(tags.length);
      expect(tagHashes).toEqual(new TagHasher(KEY).hash(tags));
    }),
    { numRuns: 2_000 },
  );
});

it('the tags of a changed configuration are not those of the one before', () => {
  const hasher = new TagHasher(KEY);
  const entry = {
    authority: 'a.example',
    path: '/a/b',
    query: '',
    route: 'r',
    origin: 'o',
    feed: null,
    extra: [],
  };
  hasher.ofEntry(entry);
  const changed = { ...entry, origin: 'p', feed: 'f' };
  expect(hasher.ofEntry(changed).tags).toEqual(entryTags(changed));
});
