import type { ContentOnDisk, DiskEntry, DiskEntryWriter, DiskTier } from '../disk-tier.ts';
import type { EntryHead } from '../entry-head.ts';
import { noteContent } from '../garbage.ts';
import type { DiskCalls } from './call-types.ts';
import { chunkBytes, CHUNK_BYTES, digestOf, SMALL_BYTES } from './format.ts';
import { OutgoingEntries, type OutgoingParts } from './outgoing.ts';
import { sealed } from './record.ts';
import type { DiskReader } from './reader.ts';
import type { UsedEntries } from './used-entries.ts';

/** The way to the coordinator's writer. Calls are answered in order. */
export interface DiskWriterLink {
  call<Name extends 'appendChunk' | 'commitEntry' | 'updateEntry' | 'removeEntry' | 'discardEntry'>(
    name: Name,
    argument: Parameters<DiskCalls[Name]>[0],
    transfer?: readonly ArrayBuffer[],
  ): Promise<boolean>;
  tell<Name extends 'storeEntries' | 'beginEntry' | 'abortEntry' | 'pinEntry' | 'unpinEntry'>(
    name: Name,
    argument: Parameters<DiskCalls[Name]>[0],
    transfer?: readonly ArrayBuffer[],
  ): void;
}

/** The most ids of hidden entries that are remembered; the oldest is forgotten first. */
const HIDDEN_IDS = 4_096;

export interface WorkerDiskParts extends Omit<OutgoingParts, 'send'> {
  readonly reader: DiskReader;
  readonly writer: DiskWriterLink;
  readonly used: UsedEntries;
}

/** The disk tier of one worker: it reads LMDB itself, and sends what is to be written to the coordinator. */
export class WorkerDiskTier implements DiskTier {
  readonly #parts: WorkerDiskParts;
  readonly #reader: DiskReader;
  readonly #writer: DiskWriterLink;
  readonly #pins = new Map<string, number>();
  readonly #hidden = new Set<string>();
  readonly #outgoing: OutgoingEntries;

  constructor(parts: WorkerDiskParts) {
    this.#parts = parts;
    this.#reader = parts.reader;
    this.#writer = parts.writer;
    this.#outgoing = new OutgoingEntries({
      ...parts,
      send: (batch) => this.#writer.tell('storeEntries', batch, [batch.entries.buffer]),
    });
  }

  find(key: string): DiskEntry[] {
    const found = this.#mayHave(key) ? this.#reader.find(key) : [];
    for (const { content } of found) if (content !== null) noteContent(content.byteLength);
    const underWay = this.underWay(key);
    if (underWay.length === 0 && this.#hidden.size === 0) return found;
    const known = new Set(found.map(({ head }) => head.id));
    const others = underWay.filter(({ head }) => !known.has(head.id));
    return [...others, ...found].filter(({ head }) => !this.#hidden.has(head.id));
  }

  heads(key: string): EntryHead[] {
    const heads = this.#mayHave(key) ? this.#reader.heads(key) : [];
    return this.#hidden.size === 0 ? heads : heads.filter(({ id }) => !this.#hidden.has(id));
  }

  underWay(key: string): DiskEntry[] {
    const entries = this.#outgoing.find(key).filter(({ head }) => !this.#hidden.has(head.id));
    return entries.map(({ head, pieces }) => ({ head, content: Buffer.concat(pieces) }));
  }

  isUnderWayElsewhere(key: string): boolean {
    return this.#parts.writesInFlight.holderOf(key) !== null;
  }

  read({ id, key, sizeBytes }: ContentOnDisk, position: number): Uint8Array | null {
    if (this.#hidden.has(id)) return null;
    const isWhole = sizeBytes >= 0 && sizeBytes <= SMALL_BYTES;
    const from = isWhole ? position : position % CHUNK_BYTES;
    const index = Math.floor(position / CHUNK_BYTES);
    const bytes = isWhole ? this.#content(key, id) : this.#reader.chunk(id, index);
    if (bytes === null) return null;
    noteContent(bytes.byteLength);
    if (isWhole) return bytes.byteLength === sizeBytes && from < sizeBytes ? bytes.subarray(from) : null;
    // A reader that was given no bytes would ask for the same position without end.
    const isOfSize =
      sizeBytes < 0 ? bytes.byteLength > from : bytes.byteLength === chunkBytes(sizeBytes, index);
    return isOfSize ? bytes.subarray(from) : null;
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
    return new EntryUpload(id, this.#parts, this.#outgoing);
  }

  async update(head: EntryHead): Promise<void> {
    await this.#update(head, false);
  }

  async updateSynced(head: EntryHead): Promise<boolean> {
    return await this.#update(head, true);
  }

  async remove(key: string, id: string): Promise<boolean> {
    this.#outgoing.flush();
    // As above.
    return await this.#writer.call('removeEntry', { id, key }).catch(() => false);
  }

  async discard(key: string, id: string): Promise<void> {
    this.hide(id);
    this.#outgoing.flush();
    // As above.
    await this.#writer.call('discardEntry', { id, key }).catch(() => {});
  }

  hide(id: string): void {
    this.#hidden.add(id);
    if (this.#hidden.size > HIDDEN_IDS) this.#hidden.delete(this.#hidden.values().next().value!);
  }

  touch(id: string): void {
    this.#parts.used.set(id);
  }

  /** Until the head is on disk, other workers ask this one for the entry: else each would have it confirmed again. */
  async #update(head: EntryHead, isSynced: boolean): Promise<boolean> {
    const arrived = this.#parts.writesInFlight.sent(head.key);
    this.#outgoing.update(head);
    this.#outgoing.flush();
    // A failed call counts as a refused change: the coordinator ends, or its handler has failed.
    const isWritten = await this.#writer.call('updateEntry', { head, isSynced }).catch(() => false);
    arrived();
    return isWritten;
  }

  /** False: nobody has sent an entry of the key that may be there. */
  #mayHave(key: string): boolean {
    return this.#parts.known.mayHave(digestOf(key));
  }

  /** The content of a small entry, on disk or in flight. */
  #content(key: string, id: string): Uint8Array | null {
    const underWay = this.#outgoing.find(key).find(({ head }) => head.id === id);
    return underWay === undefined ? this.#reader.content(key, id) : Buffer.concat(underWay.pieces);
  }
}

/**
 * One entry's content in flight to the disk: kept until the commit while it is small, else cut into chunks that are
 * stored as they fill.
 */
class EntryUpload implements DiskEntryWriter {
  readonly #id: string;
  readonly #writer: DiskWriterLink;
  readonly #outgoing: OutgoingEntries;
  readonly #parts: WorkerDiskParts;
  /** What was appended and is not sent. */
  #pieces: Uint8Array[] = [];
  #unsentBytes = 0;
  /** Chunks that were sent; -1: the writer does not know of the entry. */
  #chunks = -1;
  #storedBytes = 0;
  #hasFailed = false;
  #listener: (length: number) => void = () => {};

  constructor(id: string, parts: WorkerDiskParts, outgoing: OutgoingEntries) {
    this.#id = id;
    this.#parts = parts;
    this.#writer = parts.writer;
    this.#outgoing = outgoing;
  }

  append(bytes: Uint8Array): void {
    if (this.#hasFailed || bytes.byteLength === 0) return;
    this.#pieces.push(bytes);
    this.#unsentBytes += bytes.byteLength;
    if (this.#chunks < 0 && this.#unsentBytes <= SMALL_BYTES) return;
    if (this.#chunks < 0) {
      this.#chunks = 0;
      this.#writer.tell('beginEntry', { id: this.#id });
    }
    while (this.#unsentBytes >= CHUNK_BYTES && !this.#hasFailed) this.#send(CHUNK_BYTES);
  }

  onStored(listener: (length: number) => void): void {
    this.#listener = listener;
  }

  async commit(head: EntryHead, maxVariants: number): Promise<boolean> {
    if (this.#chunks >= 0 && this.#unsentBytes > 0) this.#send(this.#unsentBytes);
    if (this.#hasFailed) return false;
    if (this.#chunks < 0) {
      const pieces = this.#pieces;
      this.#pieces = [];
      return await this.#outgoing.send(head, pieces, maxVariants);
    }
    const arrived = this.#parts.writesInFlight.sent(head.key);
    this.#parts.known.raise(digestOf(head.key));
    const entry = sealed(head, [], maxVariants);
    try {
      return await this.#writer.call('commitEntry', { entry }, [entry.buffer]);
    } catch {
      // The coordinator ends, and so does this worker.
      return false;
    } finally {
      arrived();
    }
  }

  abort(): void {
    this.#hasFailed = true;
    this.#pieces = [];
    if (this.#chunks >= 0) this.#writer.tell('abortEntry', { id: this.#id });
  }

  #send(length: number): void {
    const bytes = this.#take(length);
    const index = this.#chunks;
    this.#chunks += 1;
    this.#writer.call('appendChunk', { id: this.#id, index, bytes }, [bytes.buffer]).then(
      (isStored) => {
        if (isStored) this.#advance(length);
        else this.#fail();
      },
      () => this.#fail(),
    );
  }

  /** Takes the next bytes out of the pieces, into memory of their own that can be transferred. */
  #take(length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    for (let filled = 0; filled < length;) {
      const piece = this.#pieces[0]!;
      const part = piece.subarray(0, length - filled);
      bytes.set(part, filled);
      filled += part.byteLength;
      if (part.byteLength === piece.byteLength) this.#pieces.shift();
      else this.#pieces[0] = piece.subarray(part.byteLength);
    }
    this.#unsentBytes -= length;
    return bytes;
  }

  #advance(length: number): void {
    if (this.#hasFailed) return;
    this.#storedBytes += length;
    this.#listener(this.#storedBytes);
  }

  #fail(): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#pieces = [];
    this.#listener(-1);
  }
}
