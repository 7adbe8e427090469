import type { Fields } from '../../policies/http/fields.ts';
import { noteContent } from './garbage.ts';

/**
 * The content of one response as it comes in, read by many readers at their own speeds. It holds a window of bytes;
 * bytes that have left the window are read from the disk. With `keepsAll` no byte leaves it before the end.
 */
export class FlightBody {
  readonly #options: BodyOptions;
  readonly #readers = new Set<BodyReader>();
  readonly #onStored: ((length: number) => void)[] = [];
  #chunks: Uint8Array[] = [];
  /** The position of the first byte in the window. */
  #base = 0;
  #end = 0;
  /** Up to here it can be read from disk. */
  #stored = 0;
  #keepsAll: boolean;
  #paused = false;
  #state: BodyState = { kind: 'open' };

  constructor(options: BodyOptions) {
    this.#options = options;
    this.#keepsAll = options.keepsAll;
  }

  /** How many bytes have come in. */
  get length(): number {
    return this.#end;
  }

  get state(): BodyState {
    return this.#state;
  }

  get keepsAll(): boolean {
    return this.#keepsAll;
  }

  /** Whether it can still be read from the beginning. */
  get reachesBack(): boolean {
    return this.#base === 0 || this.#stored >= this.#base;
  }

  /** Whether it is being stored on disk; `onStored` reports how far. */
  get isStored(): boolean {
    return this.#options.isStored;
  }

  append(chunk: Uint8Array): void {
    if (this.#state.kind !== 'open' || chunk.byteLength === 0) return;
    this.#chunks.push(chunk);
    this.#end += chunk.byteLength;
    noteContent(chunk.byteLength);
    this.#settle();
    this.#wakeReaders();
  }

  end(trailers: Fields): void {
    if (this.#state.kind !== 'open') return;
    this.#state = { kind: 'whole', trailers };
    this.#wakeReaders();
  }

  fail(): void {
    if (this.#state.kind !== 'open') return;
    this.#state = { kind: 'cut' };
    this.#wakeReaders();
  }

  /** To be called when the content is too large for memory: from now on bytes may leave the window. */
  stopKeeping(): void {
    this.#keepsAll = false;
    this.#settle();
  }

  /** To be called when the first `length` bytes can be read from disk. */
  storedUpTo(length: number): void {
    this.#stored = Math.max(this.#stored, length);
    this.#settle();
    this.#onStored.forEach((listener) => listener(this.#stored));
  }

  /** Calls `listener` with the length that can be read from disk, now and as it grows; 0: storing was given up. */
  onStored(listener: (length: number) => void): void {
    this.#onStored.push(listener);
    if (this.#stored > 0) listener(this.#stored);
  }

  /** A copy of all bytes in one piece; null where some have left the window. */
  whole(): Uint8Array | null {
    if (this.#base > 0) return null;
    const content = Buffer.allocUnsafeSlow(this.#end);
    let at = 0;
    for (const chunk of this.#chunks) {
      content.set(chunk, at);
      at += chunk.byteLength;
    }
    return content;
  }

  /** Begins to read at `position`, in bytes. `onProgress` is called when there may be more to read. */
  reader(position: number, onProgress: () => void): BodyReader {
    const reader = new BodyReader(this, position, onProgress);
    this.#readers.add(reader);
    return reader;
  }

  /** The bytes from `position` to the end of their chunk, or why there are none. */
  at(position: number): BodyPiece {
    if (position >= this.#end) {
      switch (this.#state.kind) {
        case 'open':
          return { kind: 'wait' };
        case 'whole':
          return { kind: 'end', trailers: this.#state.trailers };
        case 'cut':
          return { kind: 'cut' };
        default:
          return this.#state satisfies never;
      }
    }
    if (position < this.#base) return { kind: 'stored' };
    let start = this.#base;
    for (const chunk of this.#chunks) {
      if (position < start + chunk.byteLength) {
        return { kind: 'bytes', bytes: position === start ? chunk : chunk.subarray(position - start) };
      }
      start += chunk.byteLength;
    }
    return { kind: 'wait' };
  }

  /** To be called when a reader has advanced, or with `gone` when it has left. */
  moved(reader: BodyReader, gone: boolean): void {
    if (gone) this.#readers.delete(reader);
    this.#settle();
    if (gone) this.desertIfUnread();
  }

  /** Ends the source where nobody reads or stores what is still to come. */
  desertIfUnread(): void {
    const isWanted = this.#readers.size > 0 || this.#keepsAll || this.#options.isStored;
    if (this.#state.kind === 'open' && !isWanted) this.#options.onDeserted();
  }

  #wakeReaders(): void {
    for (const reader of this.#readers) reader.wake();
  }

  /** Drops chunks that may leave the window, and pauses the source while the window is full. */
  #settle(): void {
    const { windowBytes, isStored, pause, resume } = this.#options;
    if (!this.#keepsAll) {
      let slowest = this.#end;
      for (const reader of this.#readers) slowest = Math.min(slowest, reader.position);
      // While it is being stored, a later reader must find all of it: on disk or in the window.
      const free = isStored ? this.#stored : Math.max(slowest, this.#stored);
      while (this.#chunks.length > 0 && this.#base + this.#chunks[0]!.byteLength <= free) {
        const held = this.#end - this.#base;
        // A chunk that a reader still needs stays while the window has room.
        if (this.#base + this.#chunks[0]!.byteLength > slowest && held <= windowBytes) break;
        this.#base += this.#chunks.shift()!.byteLength;
      }
    }
    const unstored = isStored ? this.#end - this.#stored : 0;
    const held = this.#keepsAll ? unstored : Math.max(this.#end - this.#base, unstored);
    const full = held > windowBytes;
    if (full === this.#paused || this.#state.kind !== 'open') return;
    this.#paused = full;
    if (full) pause();
    else resume();
  }

  /** To be called when storing was given up: bytes that have left the window are lost. */
  stopStoring(): void {
    this.#options.isStored = false;
    this.#stored = 0;
    this.#settle();
    this.#onStored.forEach((listener) => listener(0));
  }
}

export interface BodyOptions {
  readonly windowBytes: number;
  readonly keepsAll: boolean;
  /** Whether the bytes are being stored on disk, with calls of `storedUpTo`. */
  isStored: boolean;
  readonly pause: () => void;
  readonly resume: () => void;
  /** Called when nobody reads or stores what is still to come. */
  readonly onDeserted: () => void;
}

export type BodyState =
  | { readonly kind: 'open' }
  | { readonly kind: 'whole'; readonly trailers: Fields }
  | { readonly kind: 'cut' };

export type BodyPiece =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** The position has left the window: the bytes are on disk, or lost. */
  | { readonly kind: 'stored' }
  | { readonly kind: 'wait' }
  | { readonly kind: 'end'; readonly trailers: Fields }
  | { readonly kind: 'cut' };

/** One reader's place in a body. */
export class BodyReader {
  readonly #body: FlightBody;
  readonly #onProgress: () => void;
  #position: number;

  constructor(body: FlightBody, position: number, onProgress: () => void) {
    this.#body = body;
    this.#position = position;
    this.#onProgress = onProgress;
  }

  get position(): number {
    return this.#position;
  }

  next(): BodyPiece {
    return this.#body.at(this.#position);
  }

  advance(bytes: number): void {
    this.#position += bytes;
    this.#body.moved(this, false);
  }

  wake(): void {
    this.#onProgress();
  }

  close(): void {
    this.#body.moved(this, true);
  }
}
