import type { Log } from '../observability/logger.ts';

/** How what a start has opened is closed again, in the reverse order. */
export class ClosingSteps {
  readonly #steps: (() => Promise<unknown> | void)[] = [];
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  push(close: () => Promise<unknown> | void): void {
    this.#steps.push(close);
  }

  /** A step that fails is logged, so that the others still run. */
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
