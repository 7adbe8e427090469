import { randomBytes } from 'node:crypto';
import { tagReach, type TagReach } from '../../policies/tags.ts';
import { HASH_KEY_WORDS, KeyedHash, type HashKey } from '../threads/keyed-hash.ts';
import { CONFIGURED_BUCKETS, CONFIGURED_TAG, HOST_TAG, ORDINARY_BITS, REGION_BITS } from './layout.ts';

/**
 * Hashed tags: two 32-bit words each. The first chooses a bucket, the second (the fingerprint) distinguishes tags of
 * one bucket. Hashes are on disk, so their key is kept in the state. Two tags that collide are invalidated together,
 * which costs a revalidation and is never stale; without a secret key clients could choose URLs that collide.
 */
export type TagHashes = Uint32Array;

export class TagHasher {
  readonly #hash: KeyedHash;

  constructor(key: HashKey) {
    this.#hash = new KeyedHash(key);
  }

  /** Hashes tags in order, two words each. Done once for each entry, never on a hit. */
  hash(tags: readonly string[]): TagHashes {
    const words = new Uint32Array(tags.length * 2);
    tags.forEach((tag, index) => {
      words[index * 2] = bucketWord(tagReach(tag), this.#hash.hash(tag));
      // Fingerprint 0 marks an empty record.
      words[index * 2 + 1] = this.#hash.high || 1;
    });
    return words;
  }

  /**
   * Second hashes of the tags, under which the fence records invalidations not yet seen by the feed: by a purge, a
   * write or another feed, of which this feed may tell later. They lie in the same region as the tags.
   */
  hashNotYetSeen(tags: TagHashes, feed: string): TagHashes {
    const mark = this.#hash.hash(`ahead of ${feed}`);
    // Fingerprint 0 marks an empty record.
    return tags.map((word, index) => (index % 2 === 0 ? word ^ (mark & ~REGION_BITS) : word ^ mark || 1));
  }
}

/** The tags of both without duplicates, with their hashes: those of `a` first. */
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

/** `known` with those of `more` that it lacks; only these are hashed. */
export function withTags(known: HashedTags, more: readonly string[], hasher: TagHasher): HashedTags {
  if (more.length === 0) return known;
  const names = new Set(known.tags);
  const added: string[] = [];
  for (const tag of more) {
    if (names.has(tag)) continue;
    names.add(tag);
    added.push(tag);
  }
  return added.length === 0 ? known : joinedTags(known, { tags: added, tagHashes: hasher.hash(added) });
}

export interface HashedTags {
  readonly tags: readonly string[];
  readonly tagHashes: TagHashes;
}

/** The first word: the tag's region and its bucket within that. Clients can fill only the region of ordinary tags. */
function bucketWord(reach: TagReach, hash: number): number {
  switch (reach) {
    case 'everything':
      return CONFIGURED_TAG;
    case 'configured':
      // The first bucket of the region is for `all`.
      return CONFIGURED_TAG + 1 + (hash % (CONFIGURED_BUCKETS - 1));
    case 'host':
      return (HOST_TAG | (hash & ~REGION_BITS)) >>> 0;
    case 'part':
      return hash & ORDINARY_BITS;
    default:
      return reach satisfies never;
  }
}

/** A random key, to be kept in the state. */
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
