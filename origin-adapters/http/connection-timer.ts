/** Called when the time is over. */
export interface TimerOwner {
  timeIsOver(timer: ConnectionTimer): void;
}

/**
 * A connection's timer, which its requests use one after another. Restarting it takes a tenth of the time of creating a
 * timer. It does not keep the process alive, because the connection does.
 */
export class ConnectionTimer {
  #timer: NodeJS.Timeout | null = null;
  #delayMs = 0;
  #owner: TimerOwner | null = null;

  /** Starts or restarts the timer. `delayMs`: milliseconds until `owner` is called. */
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

  /** Restarts the timer with the same delay if it runs. */
  refresh(): void {
    if (this.#owner !== null) this.#timer?.refresh();
  }

  stop(): void {
    this.#owner = null;
  }

  /** Removes the timer. To be called when the connection is no longer used. */
  end(): void {
    this.#owner = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
