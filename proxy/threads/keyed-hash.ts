/** A key of 128 bits, as four words. */
export type HashKey = Uint32Array;

export const HASH_KEY_WORDS = 4;

/**
 * SipHash-1-3 over the UTF-16 units of a text. Clients choose the names that are hashed here (URLs, hosts, cache keys):
 * without the key a client can't search for names that share a bucket, a slot or a worker.
 *
 * Computes with pairs of 32-bit words, because each step with BigInt would allocate. A URL takes less than a microsecond.
 */
export class KeyedHash {
  readonly #key: HashKey;
  /** The two words of the last result, because returning a pair would allocate. */
  low = 0;
  high = 0;
  /** The text of the last result: a request's key is hashed by several of its users, one after another. */
  #last: string | null = null;

  constructor(key: HashKey) {
    this.#key = Uint32Array.from(key);
  }

  /** Returns the first word of the result. `low` and `high` have both words until the next call. */
  hash(text: string): number {
    if (text === this.#last) return this.low;
    this.#last = text;
    const key = this.#key;
    const k0 = key[0]! | 0;
    const k1 = key[1]! | 0;
    const k2 = key[2]! | 0;
    const k3 = key[3]! | 0;
    let v0l = k0 ^ 0x70736575;
    let v0h = k1 ^ 0x736f6d65;
    let v1l = k2 ^ 0x6e646f6d;
    let v1h = k3 ^ 0x646f7261;
    let v2l = k0 ^ 0x6e657261;
    let v2h = k1 ^ 0x6c796765;
    let v3l = k2 ^ 0x79746573;
    let v3h = k3 ^ 0x74656462;
    const { length } = text;
    const words = (length >> 2) + 1;
    for (let w = 0; w < words + 3; w += 1) {
      let ml = 0;
      let mh = 0;
      if (w < words - 1) {
        const at = w * 4;
        ml = text.charCodeAt(at) | (text.charCodeAt(at + 1) << 16);
        mh = text.charCodeAt(at + 2) | (text.charCodeAt(at + 3) << 16);
      } else if (w === words - 1) {
        // Units beyond the end count as zero. The last word contains the length, so that padding can't make texts equal.
        const at = w * 4;
        ml = unit(text, at) | (unit(text, at + 1) << 16);
        mh = unit(text, at + 2) | ((length & 0xffff) << 16);
      } else if (w === words) v2l ^= 0xff;
      v3l ^= ml;
      v3h ^= mh;

      // One round. A low word that wraps is less than its addend; then the high word gets a carry.
      v0l = (v0l + v1l) | 0;
      v0h = (v0h + v1h + (v0l >>> 0 < v1l >>> 0 ? 1 : 0)) | 0;
      let turn = (v1l << 13) | (v1h >>> 19);
      v1h = ((v1h << 13) | (v1l >>> 19)) ^ v0h;
      v1l = turn ^ v0l;
      turn = v0l;
      v0l = v0h;
      v0h = turn;
      v2l = (v2l + v3l) | 0;
      v2h = (v2h + v3h + (v2l >>> 0 < v3l >>> 0 ? 1 : 0)) | 0;
      turn = (v3l << 16) | (v3h >>> 16);
      v3h = ((v3h << 16) | (v3l >>> 16)) ^ v2h;
      v3l = turn ^ v2l;
      v0l = (v0l + v3l) | 0;
      v0h = (v0h + v3h + (v0l >>> 0 < v3l >>> 0 ? 1 : 0)) | 0;
      turn = (v3l << 21) | (v3h >>> 11);
      v3h = ((v3h << 21) | (v3l >>> 11)) ^ v0h;
      v3l = turn ^ v0l;
      v2l = (v2l + v1l) | 0;
      v2h = (v2h + v1h + (v2l >>> 0 < v1l >>> 0 ? 1 : 0)) | 0;
      turn = (v1l << 17) | (v1h >>> 15);
      v1h = ((v1h << 17) | (v1l >>> 15)) ^ v2h;
      v1l = turn ^ v2l;
      turn = v2l;
      v2l = v2h;
      v2h = turn;

      v0l ^= ml;
      v0h ^= mh;
    }
    this.low = (v0l ^ v1l ^ v2l ^ v3l) >>> 0;
    this.high = (v0h ^ v1h ^ v2h ^ v3h) >>> 0;
    return this.low;
  }
}

function unit(text: string, at: number): number {
  return at < text.length ? text.charCodeAt(at) : 0;
}
