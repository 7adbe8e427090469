/** Target for the bytes of messages that are read ahead of the consumer. */
const BATCH_BYTES = 2 ** 20;
const MOST_MESSAGES = 256;

/**
 * The number of messages to request at once from a server that limits requests only by count: from 1 to 256, about 1
 * MiB if the messages are like the previous ones.
 */
export class BatchSize {
  #messages = 16;

  get messages(): number {
    return this.#messages;
  }

  /**
   * Adjusts the size after a batch of `messages` messages and `bytes` bytes. It at most doubles, because later messages may
   * be larger.
   */
  learn(messages: number, bytes: number): void {
    if (messages === 0) return;
    const fitting = Math.floor((BATCH_BYTES * messages) / Math.max(bytes, 1));
    this.#messages = Math.max(1, Math.min(fitting, this.#messages * 2, MOST_MESSAGES));
  }
}
