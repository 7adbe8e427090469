/**
 * After a write in the midst of a commit has failed, an LMDB environment refuses everything, reads too, until it is
 * opened anew (`MDB_PANIC`). lmdb puts its message together anew at each refusal, in memory that is too small for
 * several of them, which ends the process some time later: whoever hears of it once must not ask again.
 */
export function isPanic(error: unknown): boolean {
  return error instanceof Error && error.message.includes('MDB_PANIC');
}

/** Refuses every call to LMDB after the first panic. */
export class LmdbGate {
  #panic: Error | null = null;

  /** Calls `ask` and throws what it throws. After a panic it throws the panic without a call. */
  pass<T>(ask: () => T): T {
    if (this.#panic !== null) throw this.#panic;
    try {
      return ask();
    } catch (error) {
      this.note(error);
      throw error;
    }
  }

  /** Notes an error that was thrown outside `pass`. */
  note(error: unknown): void {
    if (isPanic(error)) this.#panic ??= error as Error;
  }
}
