import type { Fields } from '../../policies/http/fields.ts';
import type { FlightBody } from '../flights/body.ts';
import type { DiskLevel } from './disk-level.ts';
import type { StoredEntry } from './stored-entry.ts';

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

/** Reads an entry that is on disk. What is left for a later turn stays there while it is read. */
export function readStored(entry: StoredEntry, disk: DiskLevel, from: number): ContentReader {
  const { id, sizeBytes } = entry.head;
  let position = from;
  let release: (() => void) | null = null;
  return {
    next() {
      if (position >= sizeBytes) return END;
      const bytes = disk.read(id, position);
      if (bytes === null) return CUT;
      // Most entries are one chunk, and a message to the writer costs more than reading it.
      if (position + bytes.byteLength < sizeBytes) release ??= disk.pin(id);
      return { kind: 'bytes', bytes };
    },
    advance: (bytes) => {
      position += bytes;
    },
    close: () => release?.(),
  };
}

/** Reads a body that is still coming; what has left its window is read from disk, as `id`. */
export function readFlight(
  body: FlightBody,
  place: { readonly id: string; readonly disk: DiskLevel } | null,
  from: number,
  onProgress: () => void,
): ContentReader {
  const reader = body.reader(from, onProgress);
  // The entry may be replaced while this reader is still on its way through it.
  let release = place === null || body.keepsAll ? null : place.disk.pin(place.id);
  return {
    next() {
      const piece = reader.next();
      if (piece.kind !== 'stored') return piece;
      if (place !== null) release ??= place.disk.pin(place.id);
      const bytes = place?.disk.read(place.id, reader.position) ?? null;
      return bytes === null ? CUT : { kind: 'bytes', bytes };
    },
    advance: (bytes) => reader.advance(bytes),
    close() {
      reader.close();
      release?.();
    },
  };
}
