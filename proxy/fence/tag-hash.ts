import { randomBytes } from 'node:crypto';
import {
  directoryTags,
  normalPlace,
  ownTags,
  tagReach,
  type NormalPlace,
  type TaggedEntry,
  type TagReach,
} from '../../policies/tags.ts';
import { HASH_KEY_WORDS, KeyedHash, type HashKey } from '../threads/keyed-hash.ts';
import { CONFIGURED_BUCKETS, CONFIGURED_TAG, HOST_TAG, ORDINARY_BITS, REGION_BITS } from './layout.ts';

/**
 * Hashed tags, two 32-bit words each. The first chooses a bucket. The second (the fingerprint) distinguishes the tags of
 * a bucket. Hashes are on disk, so their key is kept in the state. Two tags that collide are invalidated together, which
 * costs a revalidation but never serves anything stale. Without a secret key clients could choose URLs that collide.
 */
export type TagHashes = Uint32Array;

export class TagHasher {
  readonly #hash: KeyedHash;
  /** The shared tags of entries with the same route, origin, feed, authority and directory. */
  readonly #ofDirectories = new Map<string, HashedTags>();

  constructor(key: HashKey) {
    this.#hash = new KeyedHash(key);
  }

  /** Hashes tags in order, two words each. It runs once for each entry and never on a hit. */
  hash(tags: readonly string[]): TagHashes {
    const words = new Uint32Array(tags.length * 2);
    this.#hashInto(words, 0, tags);
    return words;
  }

  /**
   * All tags of an entry (`entryTags`), with their hashes. Tags that entries of the same directory share are cached, so
   * for most entries only the tags of their own URL are made and hashed.
   */
  ofEntry(entry: TaggedEntry): HashedTags {
    const place = normalPlace(entry);
    const own = ownTags(entry, place);
    const shared = this.#ofDirectory(entry, place);
    const tagHashes = new Uint32Array((shared.tags.length + own.length) * 2);
    tagHashes.set(shared.tagHashes);
    this.#hashInto(tagHashes, shared.tags.length, own);
    return { tags: shared.tags.concat(own), tagHashes };
  }

  #ofDirectory(entry: TaggedEntry, place: NormalPlace): HashedTags {
    const key = `${entry.route}\n${entry.origin}\n${entry.feed ?? ''}\n${place.authority}\n${place.directory}`;
    const known = this.#ofDirectories.get(key);
    if (known !== undefined) return known;
    const tags = directoryTags(entry, place);
    const hashed = { tags, tagHashes: this.hash(tags) };
    if (key.length > DIRECTORY_LENGTH) return hashed;
    if (this.#ofDirectories.size >= DIRECTORIES) this.#ofDirectories.clear();
    // A copy: the path may be a part of a text that would stay in memory with it.
    this.#ofDirectories.set(Buffer.from(key).toString(), hashed);
    return hashed;
  }

  #hashInto(words: TagHashes, from: number, tags: readonly string[]): void {
    for (let index = 0; index < tags.length; index += 1) {
      const tag = tags[index]!;
      const at = (from + index) * 2;
      words[at] = bucketWord(tagReach(tag), this.#hash.hash(tag));
      // Fingerprint 0 marks an empty record.
      words[at + 1] = this.#hash.high || 1;
    }
  }

  /**
   * Second hashes of the tags, under which the fence records invalidations that the feed has not seen yet: by a purge, a
   * write or another feed. This feed may report the same change later. The hashes are in the same region as the tags.
   */
  hashNotYetSeen(tags: TagHashes, feed: string): TagHashes {
    const mark = this.#hash.hash(`ahead of ${feed}`);
    // Fingerprint 0 marks an empty record.
    return tags.map((word, index) => (index % 2 === 0 ? word ^ (mark & ~REGION_BITS) : word ^ mark || 1));
  }
}

const DIRECTORIES = 128;
/** The longest key, in characters, under which a directory's tags are cached. They take up to 66 times its memory. */
const DIRECTORY_LENGTH = 128;

/** The tags of `a`, then those of `b` that `a` lacks, with their hashes. */
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

/** The tags of `known`, then those of `more` that it lacks. Only the latter are hashed. */
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

/** The first word: the tag's region and its bucket in it. Clients can fill only the region of ordinary tags. */
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
