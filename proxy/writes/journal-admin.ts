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
  /** Null: it is not sent again. */
  readonly nextAttemptAt: string | null;
  readonly lastError: string | null;
  readonly idempotencyKey: string;
  readonly bytes: number;
  readonly endedAt: string | null;
  readonly mergedInto: string | null;
  /** The first write of its URL, which has to be delivered or discarded before this one; null: this is the first. */
  readonly waitsFor: { readonly id: string; readonly state: string } | null;
}

/** A URL whose writes are stopped by a dead one. */
export interface StoppedUrl {
  readonly id: string;
  readonly method: string;
  readonly origin: string;
  /** Without the query. */
  readonly path: string;
}

export type WriteAction =
  | { readonly kind: 'done'; readonly write: WriteReport }
  | { readonly kind: 'unknown' }
  /** It is being sent, or its state does not allow this. */
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
  /** Under way now: deliveries, writes through, and holds that outlast their writes. */
  readonly delivering: number;
  readonly through: number;
  readonly timedHolds: number;
  /** Slots for holds that are taken, and writes that were refused one, by the bound that was reached. */
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
  /** A write has left its queue, or stops it. */
  moved(queue: OrderQueueId): void;
  /** There will be no response to it. */
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
  detail: 'It is being sent, or another operator is changing it.',
};

/** The origin of a write whose record can't be read. */
const NO_ORIGIN = '';

/** The journal for operators: lists writes, sends dead ones again, discards them, counts. */
export class JournalAdmin {
  readonly #deps: JournalAdminDependencies;

  constructor(deps: JournalAdminDependencies) {
    this.#deps = deps;
  }

  /** Writes in the order of their acceptance, from behind the one with the id `after`; null: that is no write's id. */
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
    if (found.record.kind === 'damaged') return { kind: 'conflict', detail: 'Its record is damaged.' };
    if (!deliveries.knows(found.record.record.origin)) {
      return { kind: 'conflict', detail: 'Its origin is not configured.' };
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
    if (section === 'done') return { kind: 'conflict', detail: 'It has been delivered.' };
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

  /** The URLs that the first `limit` dead writes stop, where other writes wait. */
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
    if (section !== 'dead') return { kind: 'conflict', detail: 'It is not dead yet: its turn has not come.' };
    const release = deliveries.reserve(NO_ORIGIN, number);
    if (release === null) return { kind: 'conflict', detail: 'It is being discarded.' };
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

/** A record that can't be read leaves nothing else to report. */
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
