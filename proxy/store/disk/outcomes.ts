/**
 * What became of the entries that a worker has sent to the writer, in shared memory: a ring of one byte an entry, in the
 * order of sending. The writer needs no message to answer, and the worker one wake for all entries of a transaction.
 */

/** The most entries of one worker without an outcome. */
export const OPEN_ENTRIES = 1_024;

const WORDS = { sent: 0, settled: 1, refused: 2 } as const;
const HEADER_BYTES = 16;
const RING_BYTES = HEADER_BYTES + OPEN_ENTRIES;

const OUTCOME = { open: 0, stored: 1, refused: 2 } as const;

export function outcomesBuffer(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(workers * RING_BYTES);
}

interface Ring {
  readonly words: Int32Array;
  readonly outcomes: Uint8Array;
}

function ringOf(buffer: SharedArrayBuffer, worker: number): Ring {
  const at = worker * RING_BYTES;
  return {
    words: new Int32Array(buffer, at, HEADER_BYTES / 4),
    outcomes: new Uint8Array(buffer, at + HEADER_BYTES, OPEN_ENTRIES),
  };
}

/** The worker's side. Entries are numbered as they are sent, from 0. */
export class SentEntries {
  readonly #ring: Ring;
  readonly #settled: (isStored: boolean) => void;
  #sent = 0;
  #taken = 0;
  #isWaiting = false;

  /** `settled`: called with the outcome of each entry, in the order of sending. */
  constructor(buffer: SharedArrayBuffer, worker: number, settled: (isStored: boolean) => void) {
    this.#ring = ringOf(buffer, worker);
    this.#settled = settled;
  }

  /** Whether another entry may be sent. */
  get hasRoom(): boolean {
    return this.#sent - this.#taken < OPEN_ENTRIES;
  }

  /** How many were sent; the next entry has this number. */
  get count(): number {
    return this.#sent;
  }

  /** Notes that an entry is about to be sent. */
  add(): void {
    this.#sent += 1;
    Atomics.store(this.#ring.words, WORDS.sent, this.#sent | 0);
    this.#wait();
  }

  /** Counts an entry that was not sent, because too much waits. */
  refuse(): void {
    Atomics.add(this.#ring.words, WORDS.refused, 1);
  }

  /** Takes the outcomes that have come. */
  take(): void {
    const { outcomes } = this.#ring;
    while (this.#taken < this.#sent) {
      const slot = this.#taken % OPEN_ENTRIES;
      const outcome = Atomics.load(outcomes, slot);
      if (outcome === OUTCOME.open) return;
      Atomics.store(outcomes, slot, OUTCOME.open);
      this.#taken += 1;
      this.#settled(outcome === OUTCOME.stored);
    }
  }

  #wait(): void {
    if (this.#isWaiting || this.#taken === this.#sent) return;
    this.#isWaiting = true;
    const { words } = this.#ring;
    const seen = Atomics.load(words, WORDS.settled);
    // An outcome that came before `seen` was read wakes nobody.
    this.take();
    const waiting = Atomics.waitAsync(words, WORDS.settled, seen);
    const woken = (): void => {
      this.#isWaiting = false;
      this.take();
      this.#wait();
    };
    if (waiting.async) void waiting.value.then(woken);
    else queueMicrotask(woken);
  }
}

/** The writer's side of one worker. */
export class EntryOutcomes {
  readonly #ring: Ring;
  readonly #waiting: { readonly until: number; readonly resolve: () => void }[] = [];
  /** The number behind the last entry that has reached the writer. */
  #received = 0;
  /** Every entry with a lower number has an outcome. */
  #firstOpen = 0;
  /** Later entries that have an outcome. */
  readonly #settledAhead = new Set<number>();
  #isChanged = false;
  #isClosed = false;

  constructor(buffer: SharedArrayBuffer, worker: number) {
    this.#ring = ringOf(buffer, worker);
  }

  /** Notes that entries up to this number, excluded, have reached the writer. */
  receive(until: number): void {
    this.#received = until;
  }

  /** Publishes the outcome of the entry with this number. The worker is woken once a turn. */
  settle(number: number, isStored: boolean): void {
    this.#settledAhead.add(number);
    while (this.#settledAhead.delete(this.#firstOpen)) this.#firstOpen += 1;
    if (this.#isClosed) {
      this.#resolve();
      return;
    }
    const { words, outcomes } = this.#ring;
    Atomics.store(outcomes, number % OPEN_ENTRIES, isStored ? OUTCOME.stored : OUTCOME.refused);
    Atomics.add(words, WORDS.settled, 1);
    if (this.#isChanged) return;
    this.#isChanged = true;
    setImmediate(() => {
      this.#isChanged = false;
      Atomics.notify(words, WORDS.settled);
      this.#resolve();
    });
  }

  /**
   * Resolves when every entry that the worker has begun to send by now has an outcome; of a worker that has died, every entry
   * that has reached the writer. Null: all have one.
   */
  arrived(): Promise<void> | null {
    const until = this.#isClosed ? this.#received : this.#sent();
    if (until <= this.#firstOpen) return null;
    return new Promise((resolve) => this.#waiting.push({ until, resolve }));
  }

  /** The worker has died: what it sent is no longer answered, and its successor begins anew. */
  close(): void {
    this.#isClosed = true;
    const { words, outcomes } = this.#ring;
    for (const word of [WORDS.sent, WORDS.settled]) Atomics.store(words, word, 0);
    outcomes.fill(OUTCOME.open);
    this.#resolve();
  }

  /** How many entries the worker has begun to send. The shared word has the lowest 32 bits. */
  #sent(): number {
    const sent = Atomics.load(this.#ring.words, WORDS.sent);
    return this.#firstOpen + ((sent - this.#firstOpen) | 0);
  }

  #resolve(): void {
    while (this.#waiting.length > 0) {
      const { until, resolve } = this.#waiting[0]!;
      if ((this.#isClosed ? Math.min(until, this.#received) : until) > this.#firstOpen) return;
      this.#waiting.shift();
      resolve();
    }
  }
}

/** Entries that workers did not send, because too much waited. */
export function refusedByWorkers(buffer: SharedArrayBuffer): number {
  let refused = 0;
  for (let worker = 0; worker < buffer.byteLength / RING_BYTES; worker += 1) {
    refused += Atomics.load(ringOf(buffer, worker).words, WORDS.refused);
  }
  return refused;
}
