/**
 * The source of the fence's sequences. They are reserved on disk in blocks, and none beyond the reservation is used, so
 * that no later run uses a sequence twice.
 */
export class Sequences {
  readonly #block: number;
  readonly #reserveUpTo: (sequence: number) => Promise<void>;
  #next: number;
  #reserved: number;
  /** The number of sequences that are set aside for an invalidation in slices. */
  #promised = 0;
  #reserving: Promise<void> | null = null;

  /** `last` is not below any sequence ever used. `reserveUpTo` makes a reservation durable, or rejects. */
  constructor(last: number, block: number, reserveUpTo: (sequence: number) => Promise<void>) {
    this.#block = block;
    this.#reserveUpTo = reserveUpTo;
    this.#next = last;
    this.#reserved = last;
  }

  /** Whether `count` sequences can be taken in this turn of the loop. */
  hasRoomFor(count: number): boolean {
    return this.#next + this.#promised + count <= this.#reserved;
  }

  take(): number {
    this.#next += 1;
    if (this.#reserved - this.#next < this.#block / 2) {
      this.reserve().catch(() => {
        // `FenceState` counts the failure. A caller that exceeds the reservation tries again.
      });
    }
    return this.#next;
  }

  /** Sets `count` sequences aside, which `takePromised` returns in later turns of the loop. */
  promise(count: number): void {
    this.#promised += count;
  }

  takePromised(): number {
    this.#promised -= 1;
    return this.take();
  }

  /** Reserves a further block. Rejects with a `NotDurableError` if the state can't be written. */
  reserve(): Promise<void> {
    this.#reserving ??= this.#reserveBlock().finally(() => {
      this.#reserving = null;
    });
    return this.#reserving;
  }

  async #reserveBlock(): Promise<void> {
    const reserved = Math.max(this.#next, this.#reserved) + this.#block;
    await this.#reserveUpTo(reserved);
    this.#reserved = reserved;
  }
}
