import { hash } from 'node:crypto';

/** The writes to one URL of one origin, in their order: as it is named between threads and on disk. */
export interface OrderQueueKey {
  readonly origin: string;
  /** Null where the origin does not see the client's host. */
  readonly authority: string | null;
  /** Path and query, normalised. */
  readonly target: string;
}

/** In hexadecimal; two lines never meet but by a collision of SHA-256, which would order what needs no order. */
export type OrderQueueId = string;

export const LINE_BYTES = 16;

export function lineKeyOf(line: OrderQueueKey): OrderQueueId {
  const { origin, authority, target } = line;
  return hash('sha256', `${origin}\n${authority ?? ''}\n${target}`, 'hex').slice(0, LINE_BYTES * 2);
}

/** What the journal tells of a line: writes that were acknowledged and are neither delivered nor given up. */
export interface JournalQueue {
  /** The order numbers of the first and the last of them; null: there is none. */
  first(line: OrderQueueId): number | null;
  last(line: OrderQueueId): number | null;
}

export interface OrderQueueLimits {
  /** Writes that may wait in one line for their turn. */
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

interface Line {
  /** Under way to the origin beside the journal. */
  running: number;
  /** Attempts whose outcome is unknown and that may be carried out even now. */
  unsettled: number;
  readonly queue: Waiting[];
}

interface Waiting {
  /** The journal's writes up to this one come first. */
  readonly after: number;
  end(how: 'granted' | 'busy' | 'left'): void;
}

/**
 * The turns of writes that do not go through the journal, and of those that do: in each line the one who came first
 * goes first, and none while an attempt before it may still be carried out. Only lines where something runs or waits
 * beside the journal are in memory.
 */
export class OrderQueues {
  readonly #journal: JournalQueue;
  readonly #onFree: (line: OrderQueueId) => void;
  readonly #lines = new Map<OrderQueueId, Line>();
  #isEnding = false;

  /** `onFree` is told when the journal's writes may have their turn again. */
  constructor(journal: JournalQueue, onFree: (line: OrderQueueId) => void) {
    this.#journal = journal;
    this.#onFree = onFree;
  }

  /** Waits behind the journal's writes, attempts of unknown outcome and those who wait already; else its turn is at once. */
  enter(key: OrderQueueId, limits: OrderQueueLimits): Turn {
    const last = this.#journal.last(key);
    const line = this.#line(key);
    if (last === null && line.queue.length === 0 && line.unsettled === 0) {
      line.running += 1;
      return { granted: Promise.resolve('granted'), leave: () => {} };
    }
    if (line.queue.length >= limits.waiting || (this.#isEnding && line.unsettled > 0)) {
      this.#tidy(key, line);
      return { granted: Promise.resolve('busy'), leave: () => {} };
    }
    const { promise, resolve } = Promise.withResolvers<'granted' | 'busy' | 'left'>();
    const waiting: Waiting = {
      after: last ?? line.queue.at(-1)?.after ?? 0,
      end: (how) => {
        const at = line.queue.indexOf(waiting);
        if (at < 0) return;
        line.queue.splice(at, 1);
        clearTimeout(timer);
        if (how === 'granted') line.running += 1;
        resolve(how);
        if (how !== 'granted') this.#freed(key, line);
      },
    };
    const waitMs = last === null ? Math.max(limits.waitMs, limits.maxProcessingMs) : limits.waitMs;
    const timer = setTimeout(() => waiting.end('busy'), waitMs);
    line.queue.push(waiting);
    return { granted: promise, leave: () => waiting.end('left') };
  }

  /** One that had its turn is done. */
  leave(key: OrderQueueId): void {
    const line = this.#line(key);
    line.running -= 1;
    this.#freed(key, line);
  }

  /** What waits for an attempt of unknown outcome, longer than a stop lasts, does so no more. */
  endWaiting(): void {
    this.#isEnding = true;
    const unsettled = [...this.#lines.values()].filter((line) => line.unsettled > 0);
    for (const waiting of unsettled.flatMap(({ queue }) => queue)) waiting.end('busy');
  }

  /** Nothing else of the line is sent until `settled`. */
  unsettled(key: OrderQueueId): void {
    this.#line(key).unsettled += 1;
  }

  settled(key: OrderQueueId): void {
    const line = this.#line(key);
    line.unsettled -= 1;
    this.#grant(key, line);
    this.#freed(key, line);
  }

  /** A write of the journal has left the line. */
  journalMoved(key: OrderQueueId): void {
    const line = this.#lines.get(key);
    if (line !== undefined) this.#grant(key, line);
  }

  /** Whether a write of the journal has its turn now. */
  admitsJournal(key: OrderQueueId, order: number): boolean {
    const line = this.#lines.get(key);
    if (line === undefined) return true;
    return line.running === 0 && line.unsettled === 0 && !line.queue.some(({ after }) => after < order);
  }

  /** Whether something waits behind the journal's writes. */
  hasWaiting(key: OrderQueueId): boolean {
    return (this.#lines.get(key)?.queue.length ?? 0) > 0;
  }

  #line(key: OrderQueueId): Line {
    let line = this.#lines.get(key);
    if (line === undefined) {
      line = { running: 0, unsettled: 0, queue: [] };
      this.#lines.set(key, line);
    }
    return line;
  }

  #grant(key: OrderQueueId, line: Line): void {
    if (line.queue.length === 0 || line.unsettled > 0) return;
    const first = this.#journal.first(key) ?? Number.POSITIVE_INFINITY;
    for (const waiting of line.queue.filter(({ after }) => after < first)) waiting.end('granted');
  }

  #freed(key: OrderQueueId, line: Line): void {
    this.#tidy(key, line);
    this.#onFree(key);
  }

  #tidy(key: OrderQueueId, line: Line): void {
    if (line.running === 0 && line.unsettled === 0 && line.queue.length === 0) this.#lines.delete(key);
  }
}
