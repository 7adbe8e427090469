/** The progress of reading one connection. */
export class ReadState {
  readonly askedAtMs: number;
  /** The last time at which nothing was readable. Everything read after it also arrived after it. */
  emptyAtMs: number;
  lastId: string | null;
  /** The replay may have begun, so the next comment is not just a greeting. */
  isGreeted: boolean;
  hasHead = false;
  hasProved = false;

  constructor(lastId: string | null, askedAtMs: number) {
    this.lastId = lastId;
    this.askedAtMs = askedAtMs;
    this.emptyAtMs = askedAtMs;
    this.isGreeted = lastId === null;
  }
}

/** Data that the socket already holds is read within this many turns of the event loop. */
const IDLE_TURNS = 3;

/** Detects whether the reader had to wait for data since this object was created. */
export class IdleDetector {
  #turns = 0;
  #next = setImmediate(() => this.#turn());

  /** True: nothing was readable until now. */
  end(): boolean {
    clearImmediate(this.#next);
    return this.#turns >= IDLE_TURNS;
  }

  #turn(): void {
    this.#turns += 1;
    if (this.#turns < IDLE_TURNS) this.#next = setImmediate(() => this.#turn());
  }
}
