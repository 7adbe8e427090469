import { randomBytes } from 'node:crypto';
import { tagReach, type TagReach } from '../../policies/tags.ts';
import { HASH_KEY_WORDS, KeyedHash, type HashKey } from '../threads/keyed-hash.ts';
import { CONFIGURED_BUCKETS, CONFIGURED_TAG, HOST_TAG, ORDINARY_BITS, REGION_BITS } from './layout.ts';

/**
 * Tags as the fence knows them: two 32-bit words each, the first choosing a bucket, the second telling tags of one
 * bucket apart. Hashes are kept on disk, so the key is the state's, and the same in every run of it. A collision makes
 * two tags one, which costs a revalidation and is never stale; without the key clients could choose URLs that collide.
 */
export type TagHashes = Uint32Array;

export class TagHasher {
  readonly #hash: KeyedHash;

  constructor(key: HashKey) {
    this.#hash = new KeyedHash(key);
  }

  /** Hashes tags in order; two words a tag. Once an entry, never on a hit. */
  hash(tags: readonly string[]): TagHashes {
    const words = new Uint32Array(tags.length * 2);
    tags.forEach((tag, index) => {
      words[index * 2] = bucketWord(tagReach(tag), this.#hash.hash(tag));
      // Zero stands for an empty record.
      words[index * 2 + 1] = this.#hash.high || 1;
    });
    return words;
  }

  /**
   * The same tags under names of their own, by which the fence knows those that were invalidated ahead of a feed: by a
   * purge, a write or another feed, of which this one may tell only later. They stay in the region of their tags.
   */
  hashAhead(tags: TagHashes, feed: string): TagHashes {
    const mark = this.#hash.hash(`ahead of ${feed}`);
    // Zero stands for an empty record.
    return tags.map((word, index) => (index % 2 === 0 ? word ^ (mark & ~REGION_BITS) : word ^ mark || 1));
  }
}

/** The tags of both once each, with their hashes: in the order of the first, then of the second. */
export function joinedTags(a: HashedTags, b: HashedTags): HashedTags {
  const known = new Set(a.tags);
  const added = b.tags.flatMap((tag, index) => (known.has(tag) ? [] : [index]));
  if (added.length === 0) return { tags: a.tags, tagHashes: a.tagHashes };
  return {
    tags: [...a.tags, ...added.map((index) => b.tags[index]!)],
    tagHashes: Uint32Array.of(
      ...a.tagHashes,
      ...added.flatMap((index) => [b.tagHashes[index * 2]!, b.tagHashes[index * 2 + 1]!]),
    ),
  };
}

export interface HashedTags {
  readonly tags: readonly string[];
  readonly tagHashes: TagHashes;
}

/** Tags that much is stored under stand apart, in regions that clients can't fill. */
function bucketWord(reach: TagReach, hash: number): number {
  switch (reach) {
    case 'everything':
      return CONFIGURED_TAG;
    case 'configured':
      // The first bucket of the region is that of everything.
      return CONFIGURED_TAG + 1 + (hash % (CONFIGURED_BUCKETS - 1));
    case 'host':
      return (HOST_TAG | (hash & ~REGION_BITS)) >>> 0;
    case 'part':
      return hash & ORDINARY_BITS;
    default:
      return reach satisfies never;
  }
}

/** A key for the state to keep. */
export function newTagKey(): HashKey {
  return tagKeyOfBytes(randomBytes(HASH_KEY_WORDS * 4));
}

export function tagKeyOfBytes(bytes: Buffer): HashKey {
  return hashesOfBytes(bytes);
}

export function bytesOfHashes(hashes: TagHashes): Buffer {
  const bytes = Buffer.alloc(hashes.length * 4);
  hashes.forEach((word, index) => bytes.writeUInt32LE(word, index * 4));
  return bytes;
}

export function hashesOfBytes(bytes: Buffer): TagHashes {
  const hashes = new Uint32Array(bytes.length / 4);
  for (let index = 0; index < hashes.length; index += 1) hashes[index] = bytes.readUInt32LE(index * 4);
  return hashes;
}
