/**
 * Change batches that are not applied yet, in order. The queue is bounded and drops nothing: its producer waits for
 * room, so a flood stays upstream.
 */
export class BatchQueue<Batch> {
  readonly #limit: number;
  #batches: Batch[] = [];
  #weight = 0;
  #isClosed = false;
  #room: (() => void) | null = null;
  #arrival: (() => void) | null = null;

  /** `limit`: the weight at which `push` begins to wait. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isEmpty(): boolean {
    return this.#batches.length === 0;
  }

  /** Adds the batch at once; resolves when there is room for another. For a single producer. */
  async push(batch: Batch, weight: number): Promise<void> {
    if (this.#isClosed) return;
    this.#batches.push(batch);
    this.#weight += weight;
    this.#arrival?.();
    if (this.#weight < this.#limit) return;
    await new Promise<void>((resolve) => {
      this.#room = resolve;
    });
  }

  /** All queued batches; null once the queue is closed and empty. For a single consumer. */
  async takeAll(): Promise<readonly Batch[] | null> {
    while (this.#batches.length === 0) {
      if (this.#isClosed) return null;
      await new Promise<void>((resolve) => {
        this.#arrival = resolve;
      });
      this.#arrival = null;
    }
    const batches = this.#batches;
    this.#batches = [];
    this.#weight = 0;
    this.#room?.();
    this.#room = null;
    return batches;
  }

  /** Ends the queue. Queued batches can still be taken. */
  close(): void {
    this.#isClosed = true;
    this.#arrival?.();
    this.#room?.();
  }

  /** Ends the queue and drops what is queued. */
  discard(): void {
    this.#batches = [];
    this.#weight = 0;
    this.close();
  }
}
