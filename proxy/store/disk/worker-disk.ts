import type { ContentOnDisk, DiskEntryWriter, DiskTier } from '../disk-tier.ts';
import type { EntryHead } from '../entry-head.ts';
import { noteContent } from '../garbage.ts';
import type { DiskCalls } from './call-types.ts';
import { chunkBytes, CHUNK_BYTES } from './format.ts';
import type { WritesInFlight } from './writes-in-flight.ts';
import type { DiskReader } from './reader.ts';

/** The way to the coordinator's writer. Calls are answered in order. */
export interface DiskWriterLink {
  call<Name extends 'appendChunk' | 'commitEntry' | 'updateEntry' | 'removeEntry' | 'discardEntry'>(
    name: Name,
    argument: Parameters<DiskCalls[Name]>[0],
    transfer?: readonly ArrayBuffer[],
  ): Promise<boolean>;
  tell<Name extends 'beginEntry' | 'abortEntry' | 'touchEntries' | 'pinEntry' | 'unpinEntry'>(
    name: Name,
    argument: Parameters<DiskCalls[Name]>[0],
  ): void;
}

/** Used ids are sent in batches of at most this many, after at most this time. */
const TOUCHES = 256;
const TOUCH_MS = 1_000;
/** The most ids of hidden entries that are remembered; the oldest is forgotten first. */
const HIDDEN_IDS = 4_096;

/** The disk tier of one worker: it reads LMDB itself, and sends what is to be written to the coordinator. */
export class WorkerDiskTier implements DiskTier {
  readonly #reader: DiskReader;
  readonly #writer: DiskWriterLink;
  readonly #writesInFlight: WritesInFlight;
  readonly #pins = new Map<string, number>();
  readonly #touched = new Set<string>();
  readonly #hidden = new Set<string>();
  #timer: NodeJS.Timeout | null = null;

  constructor(reader: DiskReader, writer: DiskWriterLink, writesInFlight: WritesInFlight) {
    this.#reader = reader;
    this.#writer = writer;
    this.#writesInFlight = writesInFlight;
  }

  heads(key: string): EntryHead[] {
    return this.#visible(this.#reader.heads(key));
  }

  read({ id, sizeBytes }: ContentOnDisk, position: number): Uint8Array | null {
    if (this.#hidden.has(id)) return null;
    const index = Math.floor(position / CHUNK_BYTES);
    const chunk = this.#reader.chunk(id, index);
    if (chunk === null) return null;
    noteContent(chunk.byteLength);
    // A reader that was given no bytes would ask for the same position without end.
    const from = position - index * CHUNK_BYTES;
    const isOfSize =
      sizeBytes < 0 ? chunk.byteLength > from : chunk.byteLength === chunkBytes(sizeBytes, index);
    return isOfSize ? chunk.subarray(from) : null;
  }

  pin(id: string): () => void {
    const pins = this.#pins.get(id) ?? 0;
    this.#pins.set(id, pins + 1);
    if (pins === 0) this.#writer.tell('pinEntry', { id });
    let isPinned = true;
    return () => {
      if (!isPinned) return;
      isPinned = false;
      const left = this.#pins.get(id)! - 1;
      if (left > 0) this.#pins.set(id, left);
      else {
        this.#pins.delete(id);
        this.#writer.tell('unpinEntry', { id });
      }
    };
  }

  begin(id: string): DiskEntryWriter {
    this.#writer.tell('beginEntry', { id });
    return new ChunkedEntry(id, this.#writer, this.#writesInFlight);
  }

  async update(head: EntryHead): Promise<void> {
    // A failed call counts as a refused change: the coordinator ends, or its handler has failed.
    await this.#writer.call('updateEntry', { head, isSynced: false }).catch(() => {});
  }

  async updateSynced(head: EntryHead): Promise<boolean> {
    // As above.
    return await this.#writer.call('updateEntry', { head, isSynced: true }).catch(() => false);
  }

  async remove(key: string, id: string): Promise<boolean> {
    // As above.
    return await this.#writer.call('removeEntry', { id, key }).catch(() => false);
  }

  async discard(key: string, id: string): Promise<void> {
    this.hide(id);
    // As above.
    await this.#writer.call('discardEntry', { id, key }).catch(() => {});
  }

  hide(id: string): void {
    this.#hidden.add(id);
    if (this.#hidden.size > HIDDEN_IDS) this.#hidden.delete(this.#hidden.values().next().value!);
  }

  touch(id: string): void {
    this.#touched.add(id);
    if (this.#touched.size >= TOUCHES) this.#tellTouched();
    else this.#timer ??= setTimeout(() => this.#tellTouched(), TOUCH_MS).unref();
  }

  #visible(heads: EntryHead[]): EntryHead[] {
    return this.#hidden.size === 0 ? heads : heads.filter(({ id }) => !this.#hidden.has(id));
  }

  #tellTouched(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#writer.tell('touchEntries', { ids: [...this.#touched] });
    this.#touched.clear();
  }
}

/** The size of a chunk's first buffer: most entries are far smaller than a chunk. */
const FIRST_BYTES = 512;

/** Cuts an entry's content into chunks of the disk's size. */
class ChunkedEntry implements DiskEntryWriter {
  readonly #id: string;
  readonly #writer: DiskWriterLink;
  readonly #writesInFlight: WritesInFlight;
  #chunk = new Uint8Array(FIRST_BYTES);
  #filled = 0;
  #index = 0;
  #stored = 0;
  #hasFailed = false;
  #listener: (length: number) => void = () => {};

  constructor(id: string, writer: DiskWriterLink, writesInFlight: WritesInFlight) {
    this.#id = id;
    this.#writer = writer;
    this.#writesInFlight = writesInFlight;
  }

  append(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength && !this.#hasFailed;) {
      const length = Math.min(CHUNK_BYTES - this.#filled, bytes.byteLength - at);
      this.#makeRoom(this.#filled + length);
      this.#chunk.set(bytes.subarray(at, at + length), this.#filled);
      this.#filled += length;
      at += length;
      if (this.#filled === CHUNK_BYTES) this.#send();
    }
  }

  onStored(listener: (length: number) => void): void {
    this.#listener = listener;
  }

  async commit(head: EntryHead, maxVariants: number): Promise<boolean> {
    if (this.#filled > 0) this.#send();
    if (this.#hasFailed) return false;
    const arrived = this.#writesInFlight.sent(head.key);
    try {
      return await this.#writer.call('commitEntry', { head, maxVariants });
    } catch {
      // The coordinator ends, and so does this worker.
      return false;
    } finally {
      arrived();
    }
  }

  abort(): void {
    this.#hasFailed = true;
    this.#writer.tell('abortEntry', { id: this.#id });
  }

  #send(): void {
    const length = this.#filled;
    const isFull = length === CHUNK_BYTES;
    const bytes = isFull ? this.#chunk : this.#chunk.slice(0, length);
    if (isFull) this.#chunk = new Uint8Array(FIRST_BYTES);
    const index = this.#index;
    this.#index += 1;
    this.#filled = 0;
    this.#writer.call('appendChunk', { id: this.#id, index, bytes }, [bytes.buffer]).then(
      (isStored) => {
        if (isStored) this.#advance(length);
        else this.#fail();
      },
      () => this.#fail(),
    );
  }

  #makeRoom(bytes: number): void {
    if (bytes <= this.#chunk.byteLength) return;
    const larger = new Uint8Array(Math.min(CHUNK_BYTES, Math.max(bytes, this.#chunk.byteLength * 2)));
    larger.set(this.#chunk.subarray(0, this.#filled));
    this.#chunk = larger;
  }

  #advance(length: number): void {
    if (this.#hasFailed) return;
    this.#stored += length;
    this.#listener(this.#stored);
  }

  #fail(): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#listener(-1);
  }
}
