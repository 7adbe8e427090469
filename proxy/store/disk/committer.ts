/**
 * One write transaction after another, each with its outcome as a value. LMDB's own queue takes any amount and then
 * blocks the thread, and each sync under way holds a thread of Node's pool: so one transaction is under way at a time,
 * and at most one sync trails behind it.
 */
import type { RootDatabase } from 'lmdb';
import { isPanic } from '../../state/lmdb-panic.ts';
import type { WriteProbe } from '../../state/write-probe.ts';

/** Why a transaction was given up; `code` is the system's or LMDB's number where there is one. */
export interface CommitFailure {
  readonly reason: string;
  readonly code: number | null;
  /** LMDB refuses everything from now on. */
  readonly isPanic: boolean;
}

/** No transaction holds the loop longer than this, in milliseconds. */
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
   * Runs `work` in a transaction and resolves when it is committed, and so visible to every reader, or given up as a
   * whole. Never two at a time. What `work` throws itself, and LMDB did not, is thrown on.
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

  /** Resolves when all that was committed is on the disk. */
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

/** lmdb rejects with an error that holds a promise of the cause; an error of a single write bears its code itself. */
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
