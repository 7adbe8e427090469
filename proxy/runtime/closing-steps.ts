import type { Log } from '../observability/logger.ts';

/** Closes the resources that a start has opened, in reverse order. */
export class ClosingSteps {
  readonly #steps: (() => Promise<unknown> | void)[] = [];
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  push(close: () => Promise<unknown> | void): void {
    this.#steps.push(close);
  }

  /** Logs a step that fails, so that the other steps still run. */
  async closeAll(): Promise<void> {
    for (const close of this.#steps.toReversed()) {
      try {
        await close();
      } catch (error) {
        this.#log.error({ event: 'close-failed', err: error }, 'a part of Weir did not close cleanly');
      }
    }
  }
}
