import type { Change } from '../../../policies/change.ts';
import { ByteReader, Unreadable, epochMs } from './byte-reader.ts';
import type { Commit } from './position.ts';
import { readPgOutput, type PgOutput, type Relation } from './pgoutput.ts';
import { rowChange, truncation } from './row-changes.ts';

/** A whole transaction. Its position is the end of its commit record. */
export type PostgresTransaction = {
  readonly commit: Commit;
  /** Bytes that the server sent for it. */
  readonly bytes: number;
} & (
  | { readonly kind: 'changes'; readonly committedAtMs: number; readonly changes: readonly Change[] }
  /** Its changes are unknown. */
  | { readonly kind: 'unintelligible'; readonly reason: string }
);

/** The memory of a value in addition to its bytes. */
const VALUE_BYTES = 32;

/**
 * Gathers the messages of one connection into transactions. A transaction that is larger than `maxBytes` or contains
 * unreadable messages is dropped and becomes unintelligible as a whole.
 */
export class TransactionReader {
  readonly #maxBytes: number;
  /**
   * The last description of each relation, which comes before its first row on a connection and after each change of
   * its columns.
   */
  readonly #relations = new Map<number, Relation>();
  #open: OpenTransaction | null = null;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Whether a transaction has begun and is not committed yet. */
  get isOpen(): boolean {
    return this.#open !== null;
  }

  /** The transaction that ends with this message; null: none. Throws `Unreadable` if messages are out of order. */
  take(message: Buffer): PostgresTransaction | null {
    if (this.#open !== null) this.#open.sentBytes += message.length;
    if (isRowMessage(message)) {
      this.#takeRows(message);
      return null;
    }
    const output = readPgOutput(new ByteReader(message));
    switch (output.kind) {
      case 'begin':
        if (this.#open !== null) throw new Unreadable('a transaction begins within another');
        this.#open = { xid: output.xid, changes: [], bytes: 0, sentBytes: 0, problem: null };
        return null;
      case 'commit':
        return this.#commit(output);
      case 'relation':
        this.#relations.set(output.relation.id, output.relation);
        return null;
      case 'other':
        return null;
      case 'insert':
      case 'update':
      case 'delete':
      case 'truncate':
        // `#takeRows` has read these.
        return null;
      default:
        return output satisfies never;
    }
  }

  #takeRows(message: Buffer): void {
    const open = this.#open;
    if (open === null) throw new Unreadable('a change outside a transaction');
    if (open.problem !== null) return;
    try {
      this.#keep(readPgOutput(new ByteReader(message)), open);
      open.bytes += message.length;
      if (open.bytes > this.#maxBytes)
        throw new Unreadable(`a transaction is larger than ${this.#maxBytes} bytes`);
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      open.problem = error.message;
      open.changes = [];
    }
  }

  #keep(output: PgOutput, open: OpenTransaction): void {
    switch (output.kind) {
      case 'insert':
      case 'update':
      case 'delete': {
        const relation = this.#relation(output.relationId);
        open.bytes += relation.columns.length * VALUE_BYTES;
        open.changes.push(rowChange(output, relation));
        return;
      }
      case 'truncate':
        open.changes.push(...output.relationIds.map((id) => truncation(this.#relation(id))));
        return;
      case 'begin':
      case 'commit':
      case 'relation':
      case 'other':
        throw new Unreadable('a message that is none of rows');
      default:
        output satisfies never;
    }
  }

  #relation(id: number): Relation {
    const relation = this.#relations.get(id);
    if (relation === undefined) throw new Unreadable('a row of a table that was not described');
    return relation;
  }

  #commit({ beginLsn, endLsn, atMicros }: Extract<PgOutput, { kind: 'commit' }>): PostgresTransaction {
    const open = this.#open;
    if (open === null) throw new Unreadable('a commit outside a transaction');
    this.#open = null;
    const about = { commit: { beginLsn, endLsn, xid: open.xid, atMicros }, bytes: open.sentBytes };
    if (open.problem !== null) return { kind: 'unintelligible', ...about, reason: open.problem };
    return { kind: 'changes', ...about, committedAtMs: epochMs(atMicros), changes: open.changes };
  }
}

interface OpenTransaction {
  readonly xid: number;
  changes: Change[];
  /** The memory of the kept changes in bytes. */
  bytes: number;
  sentBytes: number;
  /** The reason why no changes are kept; null: they are kept. */
  problem: string | null;
}

/** Insert, update, delete, truncate. */
function isRowMessage(message: Buffer): boolean {
  return 'IUDT'.includes(String.fromCharCode(message[0] ?? 0));
}
