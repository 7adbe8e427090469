import type { Fields } from '../../policies/http/fields.ts';
import type { FlightBody } from './body.ts';
import type { EntryHead } from './entry-head.ts';
import type { Tiers } from './tiers.ts';

/** Reads the content of a response from memory, from disk or as it comes in, at the reader's own speed. */
export interface ContentReader {
  /** What stands at the reader's position, which only `advance` changes. */
  next(): ContentPiece;
  advance(bytes: number): void;
  close(): void;
}

export type ContentPiece =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'wait' }
  | { readonly kind: 'end'; readonly trailers: Fields }
  /** The rest will never come. */
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

/** An entry on disk, and the tiers that discard it where its content can't be read. */
export interface StoredPlace {
  readonly head: EntryHead;
  readonly tiers: Pick<Tiers, 'disk' | 'discard'>;
}

/**
 * Reads an entry that is on disk, from byte `from`. While content is left for a later turn of the loop, the entry is
 * pinned. Where content is missing or damaged, the reader is cut once no worker finds the entry: a client that asks
 * again then gets a new one.
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
      // Most entries are one chunk: a message that pins one costs more than reading it.
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

/** Reads a body that is still coming in; what has left its window is read from disk, at `place`. */
export function readFlight(
  body: FlightBody,
  place: StoredPlace | null,
  from: number,
  onProgress: () => void,
): ContentReader {
  const reader = body.reader(from, onProgress);
  const pieces = place === null ? null : new StoredPieces(place, onProgress);
  const pin = (): (() => void) | null => place?.tiers.disk?.pin(place.head.id) ?? null;
  // Another entry may replace this one before the reader has reached its end.
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

/** Reads an entry on disk piece by piece, and discards the entry where a piece is missing or damaged. */
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
