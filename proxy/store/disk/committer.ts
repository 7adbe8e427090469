/**
 * Runs one write transaction after another and returns each outcome as a value. LMDB's own queue takes any amount and
 * then blocks the thread, and each running sync holds a thread of Node's pool. So one transaction runs at a time, and
 * at most one sync behind it.
 */
import type { RootDatabase } from 'lmdb';
import { isPanic } from '../../state/lmdb-panic.ts';
import type { WriteProbe } from '../../state/write-probe.ts';

/** Why a transaction failed; `code` is the system's or LMDB's number where there is one. */
export interface CommitFailure {
  readonly reason: string;
  readonly code: number | null;
  /** LMDB refuses everything from now on. */
  readonly isPanic: boolean;
}

/** The longest that a transaction holds the loop, in milliseconds. */
export const SLICE_MS = 3;

export class Committer {
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #probe: WriteProbe;
  #trailing: Promise<CommitFailure | null> = Promise.resolve(null);

  constructor(root: RootDatabase<Buffer, Buffer>, probe: WriteProbe) {
    this.#root = root;
    this.#probe = probe;
  }

  /**
   * Runs `work` in a transaction. Null: it is committed, and so visible to every reader; else none of it is. Must not
   * be called before the last call has resolved. Rejects with what `work` throws, other than errors of LMDB.
   */
  async commit(work: () => void): Promise<CommitFailure | null> {
    const unsynced = await this.#trailing;
    this.#trailing = Promise.resolve(null);
    if (unsynced !== null) return unsynced;
    const refusal = this.#probe.check();
    if (refusal !== null) return { reason: refusal.message, code: refusal.errno ?? null, isPanic: false };
    try {
      await this.#root.childTransaction(work);
    } catch (error) {
      return await failureOf(error);
    }
    this.#trailing = this.#synced();
    return null;
  }

  /** Resolves when all that was committed is on the disk, or with the failure of the sync. */
  sync(): Promise<CommitFailure | null> {
    return this.#trailing;
  }

  async #synced(): Promise<CommitFailure | null> {
    try {
      await this.#root.flushed;
      return null;
    } catch (error) {
      return await failureOf(error);
    }
  }
}

/** lmdb rejects with an error that has a promise of its cause; an error of a single write has the code itself. */
async function failureOf(error: unknown): Promise<CommitFailure> {
  if (!(error instanceof Error)) throw error;
  if ('commitError' in error) {
    const cause: unknown = await Promise.resolve(error.commitError).catch((reason: unknown) => reason);
    const reason = cause instanceof Error ? cause.message : error.message;
    return { reason, code: codeOf(cause), isPanic: isPanic(error) || isPanic(cause) };
  }
  const code = codeOf(error);
  if (code === null) throw error;
  return { reason: error.message, code, isPanic: isPanic(error) };
}

function codeOf(error: unknown): number | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : null;
}
