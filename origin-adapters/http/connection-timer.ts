/** Told when the time is over. */
export interface TimerOwner {
  timeIsOver(timer: ConnectionTimer): void;
}

/**
 * One timer of a connection, for one request after another: starting it again takes a tenth of the time that a new timer
 * takes. It does not keep the process alive, because the connection does.
 */
export class ConnectionTimer {
  #timer: NodeJS.Timeout | null = null;
  #delayMs = 0;
  #owner: TimerOwner | null = null;

  /** Starts it anew, whether it ran or not. */
  start(delayMs: number, owner: TimerOwner): void {
    this.#owner = owner;
    if (this.#timer !== null && this.#delayMs === delayMs) {
      this.#timer.refresh();
      return;
    }
    this.end();
    this.#owner = owner;
    this.#delayMs = delayMs;
    this.#timer = setTimeout(() => {
      const over = this.#owner;
      this.#owner = null;
      over?.timeIsOver(this);
    }, delayMs).unref();
  }

  /** Where it runs, it begins again. */
  refresh(): void {
    if (this.#owner !== null) this.#timer?.refresh();
  }

  stop(): void {
    this.#owner = null;
  }

  /** The connection is not used any more. */
  end(): void {
    this.#owner = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
