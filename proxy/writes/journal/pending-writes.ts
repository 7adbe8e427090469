import type { Fields } from '../../../policies/http/fields.ts';
import type { Journal } from './journal.ts';
import type { OrderQueueId } from './order-queues.ts';
import type { TimedHolds } from './timed-holds.ts';
import type { WriteRecord } from './record.ts';
import { isWhole } from './record.ts';
import type { Numbered } from './tables.ts';

/** The answer to a reader of a URL with waiting writes. */
export type Pending =
  /** The content of the last PUT, and its fields. */
  | { readonly kind: 'content'; readonly fields: Fields; readonly content: Uint8Array }
  /** The last write is a DELETE. */
  | { readonly kind: 'deleted' }
  /** No write waits, or the reader's wait is over: the origin is asked. */
  | { readonly kind: 'none' };

/** Answers readers of a URL while writes to it wait (`reads`: `wait`, `pending`). */
export class PendingWrites {
  readonly #journal: Journal;
  readonly #timedHolds: TimedHolds;
  readonly #waiting = new Map<OrderQueueId, Set<() => void>>();

  constructor(journal: Journal, timedHolds: TimedHolds) {
    this.#journal = journal;
    this.#timedHolds = timedHolds;
  }

  /** `pending`: the last write's content if a GET will return it. Otherwise, as for `wait`, waits until none is left. */
  async read(queues: readonly OrderQueueId[], mode: 'wait' | 'pending', waitMs: number): Promise<Pending> {
    const shown = mode === 'pending' ? this.#pendingOf(queues) : null;
    if (shown !== null) return shown;
    const { tables } = this.#journal;
    const waiting = queues.filter((queue) => tables.hasWaiting(queue));
    await Promise.all(waiting.map((queue) => this.#emptied(queue, waitMs)));
    return (mode === 'pending' ? this.#pendingOf(queues) : null) ?? { kind: 'none' };
  }

  /** To be called when a write has left the queue or stops it. */
  moved(queue: OrderQueueId): void {
    const waiting = this.#waiting.get(queue);
    if (waiting === undefined || this.#journal.tables.hasWaiting(queue)) return;
    for (const wake of waiting) wake();
  }

  #emptied(queue: OrderQueueId, waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(queue) ?? new Set();
      this.#waiting.set(queue, waiting);
      const wake = (): void => {
        clearTimeout(timer);
        waiting.delete(wake);
        if (waiting.size === 0) this.#waiting.delete(queue);
        resolve();
      };
      const timer = setTimeout(wake, waitMs);
      waiting.add(wake);
    });
  }

  #pendingOf(queues: readonly OrderQueueId[]): Pending | null {
    const [last] = queues.flatMap((queue) => this.#lastOf(queue)).toSorted((a, b) => b.number - a.number);
    return last === undefined ? null : this.#shown(last);
  }

  /** The last write of the queue, or the delivered one that is still shown; empty: neither exists. */
  #lastOf(queue: OrderQueueId): Numbered[] {
    const { tables } = this.#journal;
    const last = tables.last(queue);
    const number = last?.number ?? this.#timedHolds.shownOf(queue);
    if (number === null) return [];
    const record = tables.record(last === null ? 'done' : last.isDead ? 'dead' : 'waiting', number);
    return record === null ? [] : [{ number, record }];
  }

  #shown({ number, record: read }: Numbered): Pending | null {
    if (read.kind === 'damaged') return null;
    const { record } = read;
    if (record.method === 'DELETE') return { kind: 'deleted' };
    const body = this.#journal.tables.body(number);
    if (!isReplacing(record) || !isWhole(record.content, body)) return null;
    return { kind: 'content', fields: contentFields(record), content: new Uint8Array(body ?? []) };
  }
}

/** False for a PUT with Content-Range: it replaces only a part, and a GET returns the whole (RFC 9110, 14.5). */
function isReplacing({ method, fields }: WriteRecord): boolean {
  return method === 'PUT' && !fields.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'content-range');
}

function contentFields({ fields }: WriteRecord): Fields {
  const described: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (CONTENT_FIELDS.has(fields[i]!.toLowerCase())) described.push(fields[i]!, fields[i + 1]!);
  }
  return described;
}

const CONTENT_FIELDS: ReadonlySet<string> = new Set(['content-type', 'content-language', 'content-encoding']);
