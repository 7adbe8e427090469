import type { RouteCacheConfig } from '../../policies/config/config.ts';
import { statedLifetimes, type StatedLifetimes } from '../../policies/http/downstream.ts';
import type { Fields } from '../../policies/http/fields.ts';
import type { SharedFields } from '../../policies/http/shared-fields.ts';
import type { StoredMeta } from '../../policies/model.ts';
import { notModifiedFields } from '../../policies/rfc9110/preconditions.ts';
import type { Fenced } from '../fence/reader.ts';
import type { EntryHead } from './entry-head.ts';

/**
 * An entry as a worker uses it: its head, its content where that is in memory, the fields rendered for sending, and the
 * fence's notes on it. A 304 that changes the head replaces the object; only the notes change in place.
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

  #told: StatedLifetimes | null = null;
  #shared: SharedFields | null = null;
  #notModified: SharedFields | null = null;
  #targetedFields: readonly string[] | null = null;
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

  /** `sentFields`, with the lines that responses have of them. */
  get shared(): SharedFields {
    this.#shared ??= { fields: this.sentFields, lines: null };
    return this.#shared;
  }

  /**
   * The fields of a 304 by the route's `targeted-fields`. They are kept with their lines unless they are large, because
   * `memoryBytes` counts little for them.
   */
  notModified(targetedFields: readonly string[]): SharedFields {
    if (this.#notModified !== null && this.#targetedFields === targetedFields) return this.#notModified;
    const fields = notModifiedFields(this.sentFields, targetedFields);
    const made: SharedFields = { fields, lines: null };
    if (lengthOf(fields) > NOT_MODIFIED_BYTES) return made;
    this.#targetedFields = targetedFields;
    this.#notModified = made;
    return made;
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

/**
 * Objects, arrays, map slots and list node of an entry, with its share of the garbage that V8 has not collected yet:
 * measured as the growth of a process that was filled several times over with entries of a few hundred bytes.
 */
const FIXED_BYTES = 3_400;
/** Of a string besides its characters. */
const STRING_BYTES = 32;
/** Small buffers are allocated with a header and rounded up. */
const BUFFER_BYTES = 192;
/** Between the name and the value of a field line, and at its end. */
const LINE_BYTES = 4;
/** Of the lines, and of the fields and lines of a 304: their objects, arrays and strings. */
const HIT_BYTES = 256;
/** The most characters that the fields of a 304 may have to be kept. */
const NOT_MODIFIED_BYTES = 256;

function lengthOf(strings: readonly string[]): number {
  let length = 0;
  for (const string of strings) length += string.length;
  return length;
}

function memoryBytesOf(head: EntryHead, content: Uint8Array | null, sentFields: Fields): number {
  const { meta, tags } = head;
  let text = 2 * STRING_BYTES + head.key.length + head.url.length;
  // Rendered fields share most of their strings with the stored ones: what is counted for these stands for their lines.
  for (const strings of [tags, meta.fields, sentFields, meta.responseTags]) {
    text += strings.length * STRING_BYTES + lengthOf(strings);
  }
  const tagBytes = BUFFER_BYTES + head.tagHashes.byteLength;
  const hitBytes = HIT_BYTES + sentFields.length * LINE_BYTES + head.key.length;
  return (
    FIXED_BYTES + text + tagBytes + hitBytes + (content === null ? 0 : BUFFER_BYTES + content.byteLength)
  );
}
