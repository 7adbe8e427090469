/**
 * What a feed has said and is not yet applied, in order. Bounded: whoever reads the feed waits for room, so that a flood
 * stays upstream; nothing is dropped.
 */
export class BatchQueue<Step> {
  readonly #limit: number;
  #steps: Step[] = [];
  #weight = 0;
  #isClosed = false;
  #room: (() => void) | null = null;
  #arrival: (() => void) | null = null;

  /** `limit`: the weight from which on `push` waits. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isEmpty(): boolean {
    return this.#steps.length === 0;
  }

  /** Takes the step at once and resolves when there is room for another. One producer. */
  async push(step: Step, weight: number): Promise<void> {
    if (this.#isClosed) return;
    this.#steps.push(step);
    this.#weight += weight;
    this.#arrival?.();
    if (this.#weight < this.#limit) return;
    await new Promise<void>((resolve) => {
      this.#room = resolve;
    });
  }

  /** Everything that is there, or null once it is closed and empty. One consumer. */
  async takeAll(): Promise<readonly Step[] | null> {
    while (this.#steps.length === 0) {
      if (this.#isClosed) return null;
      await new Promise<void>((resolve) => {
        this.#arrival = resolve;
      });
      this.#arrival = null;
    }
    const steps = this.#steps;
    this.#steps = [];
    this.#weight = 0;
    this.#room?.();
    this.#room = null;
    return steps;
  }

  /** Nothing more comes; what is there can still be taken. */
  close(): void {
    this.#isClosed = true;
    this.#arrival?.();
    this.#room?.();
  }

  /** Nothing more comes, and what is there is forgotten. */
  discard(): void {
    this.#steps = [];
    this.#weight = 0;
    this.close();
  }
}
