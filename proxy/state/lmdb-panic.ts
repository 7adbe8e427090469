/**
 * Whether an error is `MDB_PANIC`: after a write failed during a commit, an LMDB environment refuses every call, reads
 * included, until it is reopened. At each refusal lmdb composes its message in memory that is too small for several
 * messages, which later ends the process. After the first such error LMDB must therefore not be called again.
 */
export function isPanic(error: unknown): boolean {
  return error instanceof Error && error.message.includes('MDB_PANIC');
}

/** Refuses every call to LMDB after the first panic. */
export class LmdbGate {
  #panic: Error | null = null;

  /** Calls `ask` and throws its errors. After a panic it throws the panic without calling `ask`. */
  pass<T>(ask: () => T): T {
    if (this.#panic !== null) throw this.#panic;
    try {
      return ask();
    } catch (error) {
      this.note(error);
      throw error;
    }
  }

  /** Records a panic that was thrown outside `pass`. */
  note(error: unknown): void {
    if (isPanic(error)) this.#panic ??= error as Error;
  }
}
