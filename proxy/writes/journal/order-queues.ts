import { hash } from 'node:crypto';

/** The writes to one URL of one origin, in their order: as it is named between threads and on disk. */
export interface OrderQueueKey {
  readonly origin: string;
  /** Null where the origin does not see the client's host. */
  readonly authority: string | null;
  /** Path and query, normalised. */
  readonly target: string;
}

/** In hexadecimal; two queues never meet but by a collision of SHA-256, which would order what needs no order. */
export type OrderQueueId = string;

export const QUEUE_ID_BYTES = 16;

export function orderQueueId(queue: OrderQueueKey): OrderQueueId {
  const { origin, authority, target } = queue;
  return hash('sha256', `${origin}\n${authority ?? ''}\n${target}`, 'hex').slice(0, QUEUE_ID_BYTES * 2);
}

/** What the journal tells of a queue: writes that were acknowledged and are neither delivered nor given up. */
export interface JournalQueue {
  /** The order numbers of the first and the last of them; null: there is none. */
  first(queue: OrderQueueId): number | null;
  last(queue: OrderQueueId): number | null;
}

export interface OrderQueueLimits {
  /** Writes that may wait in one queue for their turn. */
  readonly waiting: number;
  /** How long one may. */
  readonly waitMs: number;
  /** How long where nothing but attempts of unknown outcome come first: these are over by then. */
  readonly maxProcessingMs: number;
}

/** What waits for its turn, and can leave before. */
export interface Turn {
  /** `busy`: too many wait, or it did not come in time. `left`: who waited has left. */
  readonly granted: Promise<'granted' | 'busy' | 'left'>;
  leave(): void;
}

interface Queue {
  /** Under way to the origin beside the journal. */
  running: number;
  /** Attempts whose outcome is unknown and that may be carried out even now. */
  unsettled: number;
  readonly waiting: QueuedTurn[];
}

interface QueuedTurn {
  /** The journal's writes up to this one come first. */
  readonly after: number;
  end(how: 'granted' | 'busy' | 'left'): void;
}

/**
 * The turns of writes that do not go through the journal, and of those that do: in each queue the one who came first
 * goes first, and none while an attempt before it may still be carried out. Only queues where something runs or waits
 * beside the journal are in memory.
 */
export class OrderQueues {
  readonly #journal: JournalQueue;
  readonly #onFree: (queue: OrderQueueId) => void;
  readonly #queues = new Map<OrderQueueId, Queue>();
  #isEnding = false;

  /** `onFree` is told when the journal's writes may have their turn again. */
  constructor(journal: JournalQueue, onFree: (queue: OrderQueueId) => void) {
    this.#journal = journal;
    this.#onFree = onFree;
  }

  /** Waits behind the journal's writes, attempts of unknown outcome and those who wait already; else its turn is at once. */
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

  /** One that had its turn is done. */
  leave(key: OrderQueueId): void {
    const queue = this.#queue(key);
    queue.running -= 1;
    this.#freed(key, queue);
  }

  /** What waits for an attempt of unknown outcome, longer than a stop lasts, does so no more. */
  endWaiting(): void {
    this.#isEnding = true;
    const unsettled = [...this.#queues.values()].filter((queue) => queue.unsettled > 0);
    for (const turn of unsettled.flatMap(({ waiting }) => waiting)) turn.end('busy');
  }

  /** Nothing else of the queue is sent until `settled`. */
  unsettled(key: OrderQueueId): void {
    this.#queue(key).unsettled += 1;
  }

  settled(key: OrderQueueId): void {
    const queue = this.#queue(key);
    queue.unsettled -= 1;
    this.#grant(key, queue);
    this.#freed(key, queue);
  }

  /** A write of the journal has left the queue. */
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

  /** Whether something waits behind the journal's writes. */
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
