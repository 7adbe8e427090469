/** The demo shop's change log: its last transactions, numbered, for replay. */
import type { RowChange } from './catalogue.ts';

export interface DemoTransaction {
  readonly id: number;
  readonly changes: readonly RowChange[];
}

export interface ChangeLog {
  append(changes: readonly RowChange[]): void;
  /** The number of the last transaction, or the number before the first. */
  readonly head: number;
  /**
   * All transactions after `id`, in order. Null: the log can't prove that it has them all, because `id` is too old or was
   * never used.
   */
  after(id: number): readonly DemoTransaction[] | null;
  /** Calls `listener` with each new transaction until the returned function is called. */
  follow(listener: (transaction: DemoTransaction) => void): () => void;
}

/**
 * Numbers begin at the wall clock's milliseconds. A restarted shop reuses no number of its predecessor, so a client
 * of the predecessor receives a reset.
 *
 * `limit`: the maximum of kept transactions.
 */
export function createChangeLog(limit = 1_000): ChangeLog {
  const transactions: DemoTransaction[] = [];
  const listeners = new Set<(transaction: DemoTransaction) => void>();
  let head = Date.now();

  return {
    append(changes) {
      const transaction: DemoTransaction = { id: ++head, changes };
      transactions.push(transaction);
      if (transactions.length > limit) transactions.shift();
      for (const listener of listeners) listener(transaction);
    },
    get head() {
      return head;
    },
    after(id) {
      const oldestProvable = head - transactions.length;
      if (!Number.isSafeInteger(id) || id < oldestProvable || id > head) return null;
      return transactions.slice(id - oldestProvable);
    },
    follow(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
