import type { Fields } from '../../policies/http/fields.ts';
import type { FlightBody } from './body.ts';
import type { EntryHead } from './entry-head.ts';
import type { Tiers } from './tiers.ts';

/** The content of a response, wherever it stands, read at the reader's own speed. */
export interface ContentReader {
  /** What stands at the reader's place; it stays there until `advance`. */
  next(): ContentPiece;
  advance(bytes: number): void;
  close(): void;
}

export type ContentPiece =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'wait' }
  | { readonly kind: 'end'; readonly trailers: Fields }
  /** It will never be whole. */
  | { readonly kind: 'cut' };

const CUT: ContentPiece = { kind: 'cut' };
const WAIT: ContentPiece = { kind: 'wait' };
const END: ContentPiece = { kind: 'end', trailers: [] };

/** Reads bytes in memory. */
export function readBytes(content: Uint8Array, from: number): ContentReader {
  let position = from;
  return {
    next: () => (position < content.byteLength ? { kind: 'bytes', bytes: content.subarray(position) } : END),
    advance: (bytes) => {
      position += bytes;
    },
    close: () => {},
  };
}

/** Where content that is on disk is read, and what is told where it can't be. */
export interface StoredPlace {
  readonly head: EntryHead;
  readonly tiers: Pick<Tiers, 'disk' | 'discard'>;
}

/**
 * Reads an entry that is on disk. What is left for a later turn stays there while it is read. Where content is missing or
 * damaged, the reader breaks off once no worker finds the entry any more: a client that asks again gets a new one.
 */
export function readStored(place: StoredPlace, from: number, onProgress: () => void): ContentReader {
  const { id, sizeBytes } = place.head;
  let position = from;
  let release: (() => void) | null = null;
  const pieces = new StoredPieces(place, onProgress);
  return {
    next() {
      if (position >= sizeBytes) return END;
      const piece = pieces.at(position);
      // Most entries are one chunk, and a message to the writer costs more than reading it.
      if (piece.kind === 'bytes' && position + piece.bytes.byteLength < sizeBytes) {
        release ??= place.tiers.disk?.pin(id) ?? null;
      }
      return piece;
    },
    advance: (bytes) => {
      position += bytes;
    },
    close: () => release?.(),
  };
}

/** Reads a body that is still coming; what has left its window is read from disk, at `place`. */
export function readFlight(
  body: FlightBody,
  place: StoredPlace | null,
  from: number,
  onProgress: () => void,
): ContentReader {
  const reader = body.reader(from, onProgress);
  const pieces = place === null ? null : new StoredPieces(place, onProgress);
  const pin = (): (() => void) | null => place?.tiers.disk?.pin(place.head.id) ?? null;
  // The entry may be replaced while this reader is still on its way through it.
  let release = body.keepsAll ? null : pin();
  return {
    next() {
      const piece = reader.next();
      if (piece.kind !== 'stored') return piece;
      release ??= pin();
      return pieces?.at(reader.position) ?? CUT;
    },
    advance: (bytes) => reader.advance(bytes),
    close() {
      reader.close();
      release?.();
    },
  };
}

/** Pieces of an entry on disk, by their position. */
class StoredPieces {
  readonly #place: StoredPlace;
  readonly #onProgress: () => void;
  #lost: 'no' | 'being-discarded' | 'yes' = 'no';

  constructor(place: StoredPlace, onProgress: () => void) {
    this.#place = place;
    this.#onProgress = onProgress;
  }

  at(position: number): ContentPiece {
    const { head, tiers } = this.#place;
    if (this.#lost !== 'no') return this.#lost === 'yes' ? CUT : WAIT;
    const bytes = tiers.disk?.read(head, position) ?? null;
    if (bytes !== null) return { kind: 'bytes', bytes };
    this.#lost = 'being-discarded';
    void tiers.discard(head).then(() => {
      this.#lost = 'yes';
      this.#onProgress();
    });
    return WAIT;
  }
}
