import type { RouteCacheConfig } from '../../policies/config/config.ts';
import { statedLifetimes, type StatedLifetimes } from '../../policies/http/downstream.ts';
import type { Fields } from '../../policies/http/fields.ts';
import type { StoredMeta } from '../../policies/model.ts';
import type { Fenced } from '../fence/reader.ts';
import type { EntryHead } from './entry-head.ts';

/**
 * An entry as a worker uses it: its head, the content where that is in memory, the fields rendered for sending, and
 * what the fence noted of it. Replaced as a whole when a 304 changes its head; only the fence's notes change in place.
 */
export class StoredEntry implements Fenced {
  readonly head: EntryHead;
  /** null: on disk alone, or still coming. */
  readonly content: Uint8Array | null;
  /** The fields as sent to clients, without Age, Via and Cache-Status. */
  readonly sentFields: Fields;
  /** The bytes that it takes in memory, all told. */
  readonly memoryBytes: number;
  clearEra = -1;
  clearAt = -1;
  softSinceMs = 0;
  /** What the last hit was sent with; null: none yet. */
  lastHit: SentHit | null = null;

  #told: StatedLifetimes | null = null;

  constructor(head: EntryHead, content: Uint8Array | null, sentFields: Fields) {
    this.head = head;
    this.content = content;
    this.sentFields = sentFields;
    this.memoryBytes = memoryBytesOf(head, content, sentFields);
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

/** The whole fields of a hit, with the Age and the remaining lifetime that they tell, both in whole seconds. */
export interface SentHit {
  readonly ageSeconds: number;
  readonly ttlSeconds: number;
  readonly fields: Fields;
}

/**
 * Objects, arrays, map slots and the list node of an entry, with what the collector leaves behind on the heap before it
 * takes it back: by the growth of a process that was filled several times over with entries of a few hundred bytes.
 */
const FIXED_BYTES = 3_400;
/** Of a string beside its characters. */
const STRING_BYTES = 32;
/** Small buffers are allocated with a header and rounded up. */
const BUFFER_BYTES = 192;
/** Of the fields of the last hit: an array with a slot each, and what they are besides. */
const SLOT_BYTES = 8;
const HIT_BYTES = 192;

function memoryBytesOf(head: EntryHead, content: Uint8Array | null, sentFields: Fields): number {
  const strings = [
    head.key,
    head.url,
    ...head.tags,
    ...head.meta.fields,
    ...sentFields,
    ...head.meta.responseTags,
  ];
  // Rendered fields share most of their strings with the stored ones, but not the array of them.
  const text = strings.reduce((sum, string) => sum + STRING_BYTES + string.length, 0);
  const tagBytes = BUFFER_BYTES + head.tagHashes.byteLength;
  const hitBytes = HIT_BYTES + sentFields.length * SLOT_BYTES + head.key.length;
  return (
    FIXED_BYTES + text + tagBytes + hitBytes + (content === null ? 0 : BUFFER_BYTES + content.byteLength)
  );
}
