import type { Fields } from '../../policies/http/fields.ts';
import { combineParts, type PartEntry } from './combining.ts';
import type { DiskEntryWriter } from './disk-tier.ts';
import type { EntryHead } from './entry-head.ts';
import type { Tiers } from './tiers.ts';
import type { Reservation } from './memory.ts';
import { StoredEntry } from './entry.ts';
import type { FlightBody } from './body.ts';

export interface EntryWriterOptions {
  readonly tiers: Tiers;
  readonly maxObjectBytes: number;
  readonly maxVariants: number;
  /** False where another worker stores it on disk. */
  readonly toDisk: boolean;
  /** For the combination of parts; null: another worker combines them. */
  readonly newEntryId: (() => string) | null;
  /** Called when the entry can be found in the tiers, or is known not to be stored. */
  readonly over: () => void;
  /** Called before `over` where all of the content has come: whether any tier has stored it. */
  readonly settled?: (isKept: boolean) => void;
}

/** Stores an entry in the tiers as its content comes in. */
export class EntryWriter {
  /** As known when the head has come: without its content, and maybe without its size. */
  entry: StoredEntry;
  readonly #options: EntryWriterOptions;
  readonly #room: Reservation;
  readonly #disk: DiskEntryWriter | null;
  #body: FlightBody | null = null;
  #lostMemory: boolean;
  #lostDisk: boolean;
  #reservedBytes = 0;

  private constructor(entry: StoredEntry, options: EntryWriterOptions, disk: DiskEntryWriter | null) {
    this.entry = entry;
    this.#options = options;
    this.#disk = disk;
    this.#lostDisk = disk === null;
    this.#room = options.tiers.memory.reserve(() => this.#loseMemory());
    this.#lostMemory = !this.#reserve(Math.max(0, entry.head.sizeBytes));
  }

  /** Null where no tier takes the entry. */
  static begin(head: EntryHead, options: EntryWriterOptions): EntryWriter | null {
    if (head.sizeBytes > options.maxObjectBytes) return null;
    const { tiers } = options;
    const disk = options.toDisk ? (tiers.disk?.begin(head.id) ?? null) : null;
    if (disk === null && !tiers.memory.admits(Math.max(0, head.sizeBytes))) return null;
    const writer = new EntryWriter(new StoredEntry(head, null, tiers.sentFieldsOf(head)), options, disk);
    if (!writer.isLost) return writer;
    writer.#room.release();
    return null;
  }

  /** To be called before the entry is given to a client. */
  raiseFloor(floor: number): void {
    this.entry = new StoredEntry({ ...this.entry.head, floor }, null, this.entry.sentFields);
  }

  get inMemory(): boolean {
    return !this.#lostMemory;
  }

  get onDisk(): boolean {
    return !this.#lostDisk;
  }

  /** Whether no tier stores it any more. */
  get isLost(): boolean {
    return this.#lostMemory && this.#lostDisk;
  }

  attach(body: FlightBody): void {
    this.#body = body;
    this.#disk?.onStored((length) => {
      if (length >= 0) body.storedUpTo(length);
      else this.#loseDisk();
    });
  }

  append(chunk: Uint8Array): void {
    const length = this.#body?.length ?? 0;
    if (length > this.#options.maxObjectBytes) {
      this.#loseMemory();
      this.#loseDisk();
      return;
    }
    if (!this.#lostMemory && length > this.#reservedBytes && !this.#reserve(length * 2)) {
      if (!this.#reserve(length)) this.#loseMemory();
    }
    if (!this.#lostDisk) this.#disk?.append(chunk);
  }

  finish(trailers: Fields): void {
    const body = this.#body!;
    const sizeBytes = body.length;
    const isOfSize = this.entry.head.sizeBytes === sizeBytes;
    const head: EntryHead = isOfSize ? this.entry.head : { ...this.entry.head, sizeBytes };
    const { tiers, maxVariants, over, settled } = this.#options;
    // A part of another length than its Content-Range says has other bytes than those that it names.
    if (this.entry.head.sizeBytes >= 0 && !isOfSize) {
      this.abort();
      body.fail();
      over();
      return;
    }
    this.#room.release();
    const content = this.#lostMemory ? null : body.whole();
    const combined = content === null ? null : this.#combined(head, content);
    const sentFields = isOfSize ? this.entry.sentFields : tiers.sentFieldsOf(head);
    const isInMemory = tiers.keep(new StoredEntry(head, content, sentFields), maxVariants);
    const committed = this.#lostDisk ? null : (this.#disk?.commit(head, maxVariants) ?? null);
    // After both: a client that has all of it may ask again at once, on another worker, too.
    body.end(trailers);
    // After the end: a reader of the part needs it on disk until then, and the combination replaces it.
    if (combined !== null) this.#keepCombined(combined);
    if (committed === null) {
      settled?.(isInMemory);
      over();
      return;
    }
    void committed.then((isOnDisk) => settled?.(isInMemory || isOnDisk));
    // An entry that is on disk alone is not found before its commit; until then requests join the flight.
    if (content !== null) over();
    else void committed.then(over, over);
  }

  /** The part combined with those that are stored; null: with none. */
  #combined(head: EntryHead, content: Uint8Array): PartEntry | null {
    const { tiers, newEntryId } = this.#options;
    if (head.meta.part === null || newEntryId === null) return null;
    const parts = tiers.partsOf(tiers.all(head.key, head.route)).flatMap(withContent);
    const combined = combineParts({ head, content }, parts);
    return combined === null ? null : { ...combined, head: { ...combined.head, id: newEntryId() } };
  }

  #keepCombined({ head, content }: PartEntry): void {
    const { tiers, maxVariants } = this.#options;
    tiers.keep(new StoredEntry(head, content, tiers.sentFieldsOf(head)), maxVariants);
    const disk = tiers.disk?.begin(head.id) ?? null;
    disk?.append(content);
    void disk?.commit(head, maxVariants);
  }

  abort(): void {
    this.#room.release();
    if (!this.#lostDisk) this.#disk?.abort();
  }

  #reserve(bytes: number): boolean {
    const grown = this.#room.grow(bytes);
    if (grown) this.#reservedBytes = bytes;
    return grown;
  }

  #loseMemory(): void {
    if (this.#lostMemory) return;
    this.#lostMemory = true;
    this.#room.release();
    this.#body?.stopKeeping();
  }

  #loseDisk(): void {
    if (this.#lostDisk) return;
    this.#lostDisk = true;
    this.#disk?.abort();
    this.#body?.stopStoring();
  }
}

function withContent({ head, content }: StoredEntry): PartEntry[] {
  return content === null ? [] : [{ head, content }];
}
