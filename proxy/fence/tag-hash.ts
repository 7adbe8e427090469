import { hash } from 'node:crypto';

/**
 * Tags as the fence knows them: two 32-bit words each, the first choosing a bucket, the second telling tags of one
 * bucket apart. Hashes are the same in every run, for they are kept on disk. A collision makes two tags one, which
 * costs a revalidation and is never stale.
 */
export type TagHashes = Uint32Array;

/** Hashes tags in order; two words a tag. About a microsecond a tag: once an entry, never on a hit. */
export function hashTags(tags: readonly string[]): TagHashes {
  const words = new Uint32Array(tags.length * 2);
  tags.forEach((tag, index) => {
    const digest = hash('sha1', tag, 'buffer');
    words[index * 2] = digest.readUInt32LE(0);
    // Zero stands for an empty record.
    words[index * 2 + 1] = digest.readUInt32LE(4) || 1;
  });
  return words;
}

/**
 * The same tags under names of their own, by which the fence knows those that were invalidated ahead of a feed: by a
 * purge, a write or another feed, of which this one may tell only later.
 */
export function aheadHashes(tags: TagHashes, feed: string): TagHashes {
  const [mark] = hashTags([`ahead of ${feed}`]);
  // Zero stands for an empty record.
  return tags.map((word) => word ^ mark! || 1);
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
