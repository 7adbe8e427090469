import { hash } from 'node:crypto';

/** The order queue of one URL of one origin, as a worker names it. */
export interface OrderQueueKey {
  readonly origin: string;
  /** The client's host; null: the origin does not receive it. */
  readonly authority: string | null;
  /** Path and query, normalised. */
  readonly target: string;
}

/** The queue's name on disk: 16 bytes of SHA-256 in hexadecimal. A collision only orders writes that need no order. */
export type OrderQueueId = string;

export const QUEUE_ID_BYTES = 16;

export function orderQueueId(queue: OrderQueueKey): OrderQueueId {
  const { origin, authority, target } = queue;
  return hash('sha256', `${origin}\n${authority ?? ''}\n${target}`, 'hex').slice(0, QUEUE_ID_BYTES * 2);
}

/** The journal's view of a queue: waiting writes, and a dead one that stops it. */
export interface JournalQueue {
  /** The places of the first and the last write; null: the queue has none. */
  first(queue: OrderQueueId): number | null;
  last(queue: OrderQueueId): number | null;
}

export interface OrderQueueLimits {
  /** The maximum of writes that may wait for their turn in one queue. */
  readonly waiting: number;
  /** The longest wait for a turn. */
  readonly waitMs: number;
  /** The wait is at least this long if no write of the journal comes first: attempts of unknown outcome end by then. */
  readonly maxProcessingMs: number;
}

/** A write's turn. */
export interface Turn {
  /** `busy`: too many wait, or the turn did not come in time. `left`: `leave` was called before it came. */
  readonly granted: Promise<'granted' | 'busy' | 'left'>;
  leave(): void;
}

interface Queue {
  /** The number of writes outside the journal that are under way to the origin. */
  running: number;
  /** The number of attempts of unknown outcome that the origin may still process. */
  unsettled: number;
  readonly waiting: QueuedTurn[];
}

interface QueuedTurn {
  /** The place up to which the journal's writes come first. */
  readonly after: number;
  end(how: 'granted' | 'busy' | 'left'): void;
}

/**
 * The order of writes to one URL, those of the journal and those that clients wait for. They are sent in the order of
 * arrival, and none while the origin may still process an earlier attempt of unknown outcome. Memory holds only queues
 * with writes outside the journal or with attempts of unknown outcome.
 */
export class OrderQueues {
  readonly #journal: JournalQueue;
  readonly #onFree: (queue: OrderQueueId) => void;
  readonly #queues = new Map<OrderQueueId, Queue>();
  #isEnding = false;

  /** `onFree` is called when the journal's next write of a queue may have its turn. */
  constructor(journal: JournalQueue, onFree: (queue: OrderQueueId) => void) {
    this.#journal = journal;
    this.#onFree = onFree;
  }

  /** Joins a queue. The turn comes after the journal's writes, attempts of unknown outcome and writes that wait. */
  enter(key: OrderQueueId, limits: OrderQueueLimits): Turn {
    const last = this.#journal.last(key);
    const queue = this.#queue(key);
    if (last === null && queue.waiting.length === 0 && queue.unsettled === 0) {
      queue.running += 1;
      return { granted: Promise.resolve('granted'), leave: () => {} };
    }
    if (queue.waiting.length >= limits.waiting || (this.#isEnding && queue.unsettled > 0)) {
      this.#tidy(key, queue);
      return { granted: Promise.resolve('busy'), leave: () => {} };
    }
    const { promise, resolve } = Promise.withResolvers<'granted' | 'busy' | 'left'>();
    const turn: QueuedTurn = {
      after: last ?? queue.waiting.at(-1)?.after ?? 0,
      end: (how) => {
        const at = queue.waiting.indexOf(turn);
        if (at < 0) return;
        queue.waiting.splice(at, 1);
        clearTimeout(timer);
        if (how === 'granted') queue.running += 1;
        resolve(how);
        if (how !== 'granted') this.#freed(key, queue);
      },
    };
    const waitMs = last === null ? Math.max(limits.waitMs, limits.maxProcessingMs) : limits.waitMs;
    const timer = setTimeout(() => turn.end('busy'), waitMs);
    queue.waiting.push(turn);
    return { granted: promise, leave: () => turn.end('left') };
  }

  /** Ends the turn of a write. */
  leave(key: OrderQueueId): void {
    const queue = this.#queue(key);
    queue.running -= 1;
    this.#freed(key, queue);
  }

  /** Refuses writes that wait for attempts of unknown outcome, because Weir stops before those end. */
  endWaiting(): void {
    this.#isEnding = true;
    const unsettled = [...this.#queues.values()].filter((queue) => queue.unsettled > 0);
    for (const turn of unsettled.flatMap(({ waiting }) => waiting)) turn.end('busy');
  }

  /** Registers an attempt of unknown outcome. No other write of the queue is sent until `settled`. */
  unsettled(key: OrderQueueId): void {
    this.#queue(key).unsettled += 1;
  }

  settled(key: OrderQueueId): void {
    const queue = this.#queue(key);
    queue.unsettled -= 1;
    this.#grant(key, queue);
    this.#freed(key, queue);
  }

  /** To be called when a write of the journal has left the queue. */
  journalMoved(key: OrderQueueId): void {
    const queue = this.#queues.get(key);
    if (queue !== undefined) this.#grant(key, queue);
  }

  /** Whether a write of the journal has its turn now. */
  admitsJournal(key: OrderQueueId, order: number): boolean {
    const queue = this.#queues.get(key);
    if (queue === undefined) return true;
    return queue.running === 0 && queue.unsettled === 0 && !queue.waiting.some(({ after }) => after < order);
  }

  /** Whether a write outside the journal waits for its turn. */
  hasWaiting(key: OrderQueueId): boolean {
    return (this.#queues.get(key)?.waiting.length ?? 0) > 0;
  }

  #queue(key: OrderQueueId): Queue {
    let queue = this.#queues.get(key);
    if (queue === undefined) {
      queue = { running: 0, unsettled: 0, waiting: [] };
      this.#queues.set(key, queue);
    }
    return queue;
  }

  #grant(key: OrderQueueId, queue: Queue): void {
    if (queue.waiting.length === 0 || queue.unsettled > 0) return;
    const first = this.#journal.first(key) ?? Number.POSITIVE_INFINITY;
    for (const turn of queue.waiting.filter(({ after }) => after < first)) turn.end('granted');
  }

  #freed(key: OrderQueueId, queue: Queue): void {
    this.#tidy(key, queue);
    this.#onFree(key);
  }

  #tidy(key: OrderQueueId, queue: Queue): void {
    if (queue.running === 0 && queue.unsettled === 0 && queue.waiting.length === 0) this.#queues.delete(key);
  }
}
