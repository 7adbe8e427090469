/**
 * Small entries in flight from a worker to the writer. All entries of a turn go in one message, sealed into one
 * buffer, which is transferred. The writer answers in shared memory. Until then the worker keeps each entry, finds it,
 * and gives it to other workers that look it up.
 */
import type { EntryHead } from '../entry-head.ts';
import { mergedHead } from '../entry-head.ts';
import { digestOf } from './format.ts';
import type { KnownDigests } from './known-digests.ts';
import { measure, seal, type Measured } from './record.ts';
import { SentEntries } from './outcomes.ts';
import type { WritesInFlight } from './writes-in-flight.ts';

export interface OutgoingParts {
  readonly writesInFlight: WritesInFlight;
  readonly known: KnownDigests;
  /** `outcomesBuffer`, and this worker's index in it. */
  readonly outcomes: SharedArrayBuffer;
  readonly worker: number;
  /** The most bytes of entries that may be in flight. */
  readonly creditBytes: number;
  send(batch: EntryBatch): void;
}

export interface EntryBatch {
  /** Entries as `seal` writes them, one behind the other. */
  readonly entries: Uint8Array<ArrayBuffer>;
  /** The number of the first one; see `SentEntries`. */
  readonly first: number;
}

/** An entry that has no outcome yet. */
interface OpenEntry {
  head: EntryHead;
  readonly pieces: readonly Uint8Array[];
  readonly bytes: number;
  readonly arrived: () => void;
  readonly settle: (isStored: boolean) => void;
}

interface Unsent {
  readonly measured: Measured;
  readonly pieces: readonly Uint8Array[];
  readonly maxVariants: number;
}

const NONE: readonly OpenEntry[] = [];

/** A turn's entries are sent early beyond this. */
const BATCH_BYTES = 512 * 1024;

export class OutgoingEntries {
  readonly #parts: OutgoingParts;
  readonly #sent: SentEntries;
  /** In the order of sending. */
  readonly #open: OpenEntry[] = [];
  readonly #byKey = new Map<string, OpenEntry[]>();
  #openBytes = 0;
  #unsent: Unsent[] = [];
  #unsentBytes = 0;
  #flush: NodeJS.Immediate | null = null;

  constructor(parts: OutgoingParts) {
    this.#parts = parts;
    this.#sent = new SentEntries(parts.outcomes, parts.worker, (isStored) => this.#settled(isStored));
  }

  /**
   * Sends a whole entry at the end of the turn. Resolves when it is stored, or known not to be. False at once where too
   * much is in flight. `pieces`: its content; they must not change.
   */
  send(head: EntryHead, pieces: readonly Uint8Array[], maxVariants: number): Promise<boolean> {
    const measured = measure(head);
    const bytes = measured.headBytes + head.sizeBytes;
    if (!this.#sent.hasRoom || this.#openBytes + bytes > this.#parts.creditBytes) {
      this.#sent.refuse();
      return Promise.resolve(false);
    }
    const arrived = this.#parts.writesInFlight.sent(head.key);
    this.#parts.known.raise(digestOf(head.key));
    return new Promise((settle) => {
      const entry: OpenEntry = { head, pieces, bytes, arrived, settle };
      this.#open.push(entry);
      const others = this.#byKey.get(head.key);
      if (others === undefined) this.#byKey.set(head.key, [entry]);
      else others.unshift(entry);
      this.#openBytes += bytes;
      this.#sent.add();
      this.#unsent.push({ measured, pieces, maxVariants });
      this.#unsentBytes += bytes;
      if (this.#unsentBytes >= BATCH_BYTES) this.flush();
      else this.#flush ??= setImmediate(() => this.flush());
    });
  }

  /** Sends what waits for the end of the turn now: what follows it in the channel is about it. */
  flush(): void {
    if (this.#flush !== null) clearImmediate(this.#flush);
    this.#flush = null;
    const unsent = this.#unsent;
    if (unsent.length === 0) return;
    const entries = Buffer.allocUnsafeSlow(this.#unsentBytes);
    let at = 0;
    for (const { measured, pieces, maxVariants } of unsent) {
      seal(measured, pieces, maxVariants, entries, at);
      at += measured.headBytes + measured.head.sizeBytes;
    }
    this.#unsent = [];
    this.#unsentBytes = 0;
    this.#parts.send({ entries, first: this.#sent.count - unsent.length });
  }

  /** Entries of the key that are in flight, the last one first, with their content. */
  find(key: string): readonly { readonly head: EntryHead; readonly pieces: readonly Uint8Array[] }[] {
    return this.#byKey.get(key) ?? NONE;
  }

  /** Changes the head of an entry that is in flight, in this worker alone. */
  update(head: EntryHead): void {
    const entry = this.#entry(head.key, head.id);
    if (entry !== null) entry.head = mergedHead(entry.head, head);
  }

  #entry(key: string, id: string): OpenEntry | null {
    return this.#byKey.get(key)?.find(({ head }) => head.id === id) ?? null;
  }

  #settled(isStored: boolean): void {
    const entry = this.#open.shift()!;
    const { key } = entry.head;
    const others = this.#byKey.get(key)!.filter((other) => other !== entry);
    if (others.length === 0) this.#byKey.delete(key);
    else this.#byKey.set(key, others);
    this.#openBytes -= entry.bytes;
    entry.arrived();
    entry.settle(isStored);
  }
}
