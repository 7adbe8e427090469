import type { RouteCacheConfig } from '../../policies/config/config.ts';
import { statedLifetimes, type StatedLifetimes } from '../../policies/http/downstream.ts';
import type { Fields } from '../../policies/http/fields.ts';
import type { StoredMeta } from '../../policies/model.ts';
import type { Fenced } from '../fence/reader.ts';
import type { EntryHead } from './entry-head.ts';

/**
 * An entry as a worker uses it: its head, its content where that is in memory, the fields rendered for sending, and the
 * fence's notes on it. A 304 that changes the head replaces the object; only the notes and the last hit change in
 * place.
 */
export class StoredEntry implements Fenced {
  readonly head: EntryHead;
  /** Null: on disk alone, or still coming in. */
  readonly content: Uint8Array | null;
  /** The fields as sent to clients, without Age, Via and Cache-Status. */
  readonly sentFields: Fields;
  /** Where it stays: content that memory does not take is read from disk for each use. */
  readonly tier: 'memory' | 'disk';
  clearEra = -1;
  clearAt = -1;
  softSinceMs = 0;
  /** The fields of the last hit; null: there was none. */
  lastHit: SentHit | null = null;

  #told: StatedLifetimes | null = null;
  #memoryBytes: number | null = null;

  constructor(
    head: EntryHead,
    content: Uint8Array | null,
    sentFields: Fields,
    tier: StoredEntry['tier'] = content === null ? 'disk' : 'memory',
  ) {
    this.head = head;
    this.content = content;
    this.sentFields = sentFields;
    this.tier = tier;
  }

  /** Bytes of memory that it takes in all. */
  get memoryBytes(): number {
    this.#memoryBytes ??= memoryBytesOf(this.head, this.content, this.sentFields);
    return this.#memoryBytes;
  }

  /** The lifetimes that clients are told, by the rules of the entry's route. */
  told(policy: RouteCacheConfig): StatedLifetimes {
    this.#told ??= statedLifetimes(this, policy);
    return this.#told;
  }

  get meta(): StoredMeta {
    return this.head.meta;
  }

  get tagHashes(): Uint32Array {
    return this.head.tagHashes;
  }

  get floor(): number {
    return this.head.floor;
  }

  get requestTimeMs(): number {
    return this.head.meta.requestTimeMs;
  }

  get possiblyStale(): boolean {
    return this.head.possiblyStale;
  }
}

/** All fields of a hit, with the Age and the remaining lifetime that they state, in whole seconds. */
export interface SentHit {
  readonly ageSeconds: number;
  readonly ttlSeconds: number;
  readonly fields: Fields;
}

/**
 * Objects, arrays, map slots and list node of an entry, with its share of the garbage that V8 has not collected yet:
 * measured as the growth of a process that was filled several times over with entries of a few hundred bytes.
 */
const FIXED_BYTES = 3_400;
/** Of a string besides its characters. */
const STRING_BYTES = 32;
/** Small buffers are allocated with a header and rounded up. */
const BUFFER_BYTES = 192;
/** Of the fields of the last hit: a slot of the array for each, and the array and its own strings. */
const SLOT_BYTES = 8;
const HIT_BYTES = 192;

function memoryBytesOf(head: EntryHead, content: Uint8Array | null, sentFields: Fields): number {
  const { meta, tags } = head;
  let text = 2 * STRING_BYTES + head.key.length + head.url.length;
  // Rendered fields share most of their strings with the stored ones, but not the array of them.
  for (const strings of [tags, meta.fields, sentFields, meta.responseTags]) {
    text += strings.length * STRING_BYTES;
    for (const string of strings) text += string.length;
  }
  const tagBytes = BUFFER_BYTES + head.tagHashes.byteLength;
  const hitBytes = HIT_BYTES + sentFields.length * SLOT_BYTES + head.key.length;
  return (
    FIXED_BYTES + text + tagBytes + hitBytes + (content === null ? 0 : BUFFER_BYTES + content.byteLength)
  );
}
