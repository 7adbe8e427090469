import type { HoldBound } from '../../policies/writes.ts';
import { secondsOf, type Clock } from '../threads/clock.ts';
import type { Log } from '../observability/logger.ts';
import { DELIVERY_BOUNDS_SECONDS } from './delivery/attempts.ts';
import type { Deliveries } from './delivery/deliveries.ts';
import { timedHoldOf } from './journal/hold-rows.ts';
import type { Journal } from './journal/journal.ts';
import type { OrderQueueId } from './journal/order-queues.ts';
import { numberOf, UNREADABLE, unreadableId, type WriteRecord } from './journal/record.ts';
import type { DurableClock } from './journal/durable-clock.ts';
import { SECTIONS, type Numbered, type JournalSection } from './journal/tables.ts';

/** A write as operators see it. */
export interface WriteReport {
  readonly id: string;
  readonly state: WriteRecord['state'];
  readonly method: string;
  readonly url: string;
  readonly origin: string;
  readonly route: string;
  readonly acceptedAt: string;
  readonly attempts: number;
  /** Null: the write is not sent again. */
  readonly nextAttemptAt: string | null;
  readonly lastError: string | null;
  readonly idempotencyKey: string;
  readonly bytes: number;
  readonly endedAt: string | null;
  readonly mergedInto: string | null;
  /** The first write of the URL's queue, which must leave it before this one is sent; null: this is the first. */
  readonly waitsFor: { readonly id: string; readonly state: string } | null;
}

/** A URL whose writes are stopped by a dead one. */
export interface StoppedUrl {
  readonly id: string;
  readonly method: string;
  readonly origin: string;
  /** The path without the query. */
  readonly path: string;
}

export type WriteAction =
  | { readonly kind: 'done'; readonly write: WriteReport }
  | { readonly kind: 'unknown' }
  /** The write is being sent, or its state does not allow the action. */
  | { readonly kind: 'conflict'; readonly detail: string };

export interface WriteStats {
  readonly waiting: number;
  readonly dead: number;
  readonly done: number;
  readonly bytes: number;
  readonly oldestSeconds: number;
  readonly accepted: number;
  readonly delivered: number;
  readonly retries: number;
  readonly givenUp: number;
  readonly merged: number;
  /** The number of deliveries, of writes `through` and of timed holds at this moment. */
  readonly delivering: number;
  readonly through: number;
  readonly timedHolds: number;
  /** The number of slots for holds that are taken, and of writes that got none, by the bound that was reached. */
  readonly held: number;
  readonly refused: Readonly<Record<HoldBound, number>>;
  readonly seconds: {
    readonly bounds: readonly number[];
    readonly buckets: readonly number[];
    readonly sum: number;
  };
}

export interface JournalAdminDependencies {
  readonly journal: Journal;
  readonly deliveries: Deliveries;
  readonly log: Log;
  readonly clock: Clock;
  readonly durableClock: DurableClock;
  /** Called when a write has left its queue, or has become dead and stops it. */
  moved(queue: OrderQueueId): void;
  /** Called when a write was discarded: no response to it will arrive. */
  discarded(number: number): void;
  counts(): {
    readonly accepted: number;
    readonly merged: number;
    readonly through: number;
    readonly timedHolds: number;
    readonly held: number;
    readonly refused: Readonly<Record<HoldBound, number>>;
  };
}

const BUSY: WriteAction = {
  kind: 'conflict',
  detail: 'The write is being sent, or another operator is changing it.',
};

/** Shown as the origin of a write whose record can't be read. */
const NO_ORIGIN = '';

/** The journal for operators: lists writes, sends dead ones again, discards them, counts. */
export class JournalAdmin {
  readonly #deps: JournalAdminDependencies;

  constructor(deps: JournalAdminDependencies) {
    this.#deps = deps;
  }

  /** Up to `limit` writes in the order of acceptance, after the one with the id `after`; null: `after` is not an id. */
  list(section: JournalSection | null, limit: number, after: string | null): WriteReport[] | null {
    const from = after === null ? 0 : numberOf(after);
    if (from === null) return null;
    const { tables } = this.#deps.journal;
    return (section === null ? SECTIONS : [section])
      .flatMap((name) => Array.from(tables.records(name, from, limit), (found) => ({ name, found })))
      .toSorted((a, b) => a.found.number - b.found.number)
      .slice(0, limit)
      .map(({ name, found }) => this.#report(found, name));
  }

  show(id: string): WriteReport | null {
    const found = this.#find(id);
    return found === null ? null : this.#report(found, found.section);
  }

  /** Sends a dead write again. */
  async retry(id: string): Promise<WriteAction> {
    const found = this.#find(id);
    if (found === null) return { kind: 'unknown' };
    const { journal, deliveries, log, moved } = this.#deps;
    if (found.record.kind === 'damaged')
      return { kind: 'conflict', detail: 'The record of the write is damaged.' };
    if (!deliveries.knows(found.record.record.origin)) {
      return { kind: 'conflict', detail: 'The origin of the write is not configured.' };
    }
    const release = deliveries.reserve(found.record.record.origin, found.number);
    if (release === null) return BUSY;
    let record: WriteRecord | null;
    try {
      record = found.section === 'dead' ? await journal.retry(found.number) : null;
    } finally {
      release();
    }
    if (record === null) return { kind: 'conflict', detail: 'Only a dead write can be sent again.' };
    log.info({ event: 'write-retry', write: id });
    deliveries.wake(record.origin);
    moved(record.queue);
    return {
      kind: 'done',
      write: this.#report({ number: found.number, record: { kind: 'record', record } }, 'waiting'),
    };
  }

  /** Removes a write for good. */
  async discard(id: string): Promise<WriteAction> {
    const found = this.#find(id);
    if (found === null) return { kind: 'unknown' };
    const { journal, deliveries, log, moved, discarded, durableClock } = this.#deps;
    const { number, section } = found;
    if (found.record.kind === 'damaged') return this.#discardUnreadable(found);
    const { record } = found.record;
    if (section === 'done') return { kind: 'conflict', detail: 'The write has been delivered.' };
    const release = deliveries.reserve(record.origin, number);
    if (release === null) return BUSY;
    let hasLeft: boolean;
    try {
      const timedHold = timedHoldOf(record, durableClock.nowMs());
      hasLeft = await journal.leave(number, { section: 'gone', record, timedHold, moreTags: [] });
    } finally {
      release();
    }
    if (!hasLeft) return { kind: 'conflict', detail: 'A later write has replaced it.' };
    log.warn({ event: 'write-discarded', write: id });
    moved(record.queue);
    discarded(number);
    return { kind: 'done', write: this.#report(found, found.section) };
  }

  stats(): WriteStats {
    const { journal, deliveries, clock, counts } = this.#deps;
    const { waiting, dead, done, bytes } = journal.counts;
    const { accepted, merged, through, timedHolds, held, refused } = counts();
    const { delivered, retries, dead: givenUp, seconds } = deliveries.counters;
    const [oldest] = journal.tables.records('waiting', 0, 1);
    const acceptedAtMs = oldest?.record.kind === 'record' ? oldest.record.record.acceptedAtMs : null;
    return {
      waiting,
      dead,
      done,
      bytes,
      oldestSeconds: acceptedAtMs === null ? 0 : secondsOf(Math.max(0, clock.nowMs() - acceptedAtMs)),
      accepted,
      delivered,
      retries,
      givenUp,
      merged,
      delivering: deliveries.underWay,
      through,
      timedHolds,
      held,
      refused,
      seconds: {
        bounds: DELIVERY_BOUNDS_SECONDS,
        buckets: seconds.buckets,
        sum: secondsOf(seconds.sum * 1000),
      },
    };
  }

  /** The URLs with waiting writes that are stopped by one of the first `limit` dead writes. */
  stopped(limit: number): StoppedUrl[] {
    const { tables, counts } = this.#deps.journal;
    if (counts.dead === 0 || counts.waiting === 0) return [];
    const stopped: StoppedUrl[] = [];
    for (const { number, record: read } of tables.records('dead', 0, limit)) {
      if (read.kind === 'damaged') continue;
      const { id, method, origin, target, queue } = read.record;
      const first = tables.first(queue);
      if (first?.number !== number || !first.isDead || !tables.hasWaiting(queue)) continue;
      stopped.push({ id, method, origin, path: target.split('?', 1)[0]! });
    }
    return stopped;
  }

  async #discardUnreadable(found: Numbered & { readonly section: JournalSection }): Promise<WriteAction> {
    const { journal, deliveries, log, moved } = this.#deps;
    const { number, section } = found;
    if (section !== 'dead')
      return { kind: 'conflict', detail: 'The write is not dead yet: it waits for an earlier one.' };
    const release = deliveries.reserve(NO_ORIGIN, number);
    if (release === null) return { kind: 'conflict', detail: 'The write is being discarded.' };
    let queue: OrderQueueId | null;
    try {
      queue = await journal.discardUnreadable(number);
    } finally {
      release();
    }
    log.warn({ event: 'write-discarded', write: unreadableId(number) });
    if (queue !== null) moved(queue);
    deliveries.wakeAll();
    return { kind: 'done', write: this.#report(found, found.section) };
  }

  #report(numbered: Numbered, section: JournalSection): WriteReport {
    const { journal, durableClock } = this.#deps;
    const report = reportOf(numbered, section, durableClock);
    if (section !== 'waiting' || numbered.record.kind === 'damaged') return report;
    const first = journal.tables.first(numbered.record.record.queue);
    if (first === null || first.number === numbered.number) return report;
    const sectionOfFirst = first.isDead ? 'dead' : 'waiting';
    const read = journal.tables.record(sectionOfFirst, first.number);
    const isRead = read?.kind === 'record';
    const id = isRead ? read.record.id : unreadableId(first.number);
    return { ...report, waitsFor: { id, state: isRead ? read.record.state : sectionOfFirst } };
  }

  #find(id: string): (Numbered & { readonly section: JournalSection }) | null {
    const number = numberOf(id);
    if (number === null) return null;
    for (const section of SECTIONS) {
      const record = this.#deps.journal.tables.record(section, number);
      if (record === null) continue;
      if (record.kind === 'record' && record.record.id !== id) return null;
      return { number, record, section };
    }
    return null;
  }
}

function reportOf(
  { number, record: read }: Numbered,
  section: JournalSection,
  durableClock: DurableClock,
): WriteReport {
  if (read.kind === 'damaged') return unreadable(number, section);
  const { record } = read;
  const isWaiting = record.state === 'waiting';
  return {
    id: record.id,
    state: record.state,
    method: record.method,
    url: `${record.scheme}://${record.authority}${record.target}`,
    origin: record.origin,
    route: record.route,
    acceptedAt: new Date(record.acceptedAtMs).toISOString(),
    attempts: record.attempts,
    nextAttemptAt: isWaiting ? new Date(durableClock.wallMs(record.dueAtMs)).toISOString() : null,
    lastError: record.lastError,
    idempotencyKey: record.idempotencyKey,
    bytes: record.content?.bytes ?? 0,
    endedAt: record.endedAtMs === null ? null : new Date(record.endedAtMs).toISOString(),
    mergedInto: record.mergedInto,
    waitsFor: null,
  };
}

/** The report of a write whose record can't be read: only its number and section are known. */
function unreadable(number: number, section: JournalSection): WriteReport {
  return {
    id: unreadableId(number),
    state: section,
    method: '',
    url: '',
    origin: '',
    route: '',
    acceptedAt: '',
    attempts: 0,
    nextAttemptAt: null,
    lastError: UNREADABLE,
    idempotencyKey: '',
    bytes: 0,
    endedAt: null,
    mergedInto: null,
    waitsFor: null,
  };
}
