/** Bytes of messages that may be read ahead of the consumer, by and large. */
const BATCH_BYTES = 2 ** 20;
const MOST_MESSAGES = 256;

/**
 * How many messages to ask for at once, where they can only be counted: as many as make up about 1 MiB if they are like
 * those before, from 1 to 256.
 */
export class BatchSize {
  #messages = 16;

  get messages(): number {
    return this.#messages;
  }

  /** After a batch of so many messages and bytes. At most doubles, for those to come may be larger. */
  learn(messages: number, bytes: number): void {
    if (messages === 0) return;
    const fitting = Math.floor((BATCH_BYTES * messages) / Math.max(bytes, 1));
    this.#messages = Math.max(1, Math.min(fitting, this.#messages * 2, MOST_MESSAGES));
  }
}
