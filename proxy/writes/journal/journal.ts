import type { Clock } from '../../threads/clock.ts';
import { NotDurableError } from '../../fence/fence-state.ts';
import type { Fence } from '../../fence/fence.ts';
import type { TagHashes } from '../../fence/tag-hash.ts';
import type { StateStore, StateTable } from '../../state/state-store.ts';
import { Retention, type RetentionLimits } from './retention.ts';
import { Appender, type Acceptance, type OfferedWrite } from './appender.ts';
import { readHoldRow, waitingHoldKey, writeHoldRow, type TimedHold } from './hold-rows.ts';
import type { OrderQueueId } from './order-queues.ts';
import type { TimedHolds } from './timed-holds.ts';
import { isWhole, type OriginResponse, type WriteRecord } from './record.ts';
import type { DurableClock } from './durable-clock.ts';
import { JournalTables, SECTIONS, type DueRow, type JournalCounts, type QueueRow } from './tables.ts';

export interface JournalLimits extends RetentionLimits {
  /** The maximum size of the waiting and dead writes together. */
  readonly sizeBytes: number;
}

/** The result of beginning an attempt. */
export type Begun =
  | { readonly kind: 'begun'; readonly record: WriteRecord; readonly body: Buffer | null }
  /** The write's content is torn or overwritten, so it is never sent. */
  | { readonly kind: 'damaged'; readonly record: WriteRecord }
  /** The write's record is torn or overwritten. */
  | { readonly kind: 'unreadable' }
  /** The write was given up, merged or discarded before. */
  | { readonly kind: 'gone' };

/** The state of a write as its client sees it. */
export interface WriteProgress {
  readonly state: WriteRecord['state'] | 'discarded';
  /** The status of the origin's last response; null: there was none, or it is unknown. */
  readonly status: number | null;
  readonly mergedInto: string | null;
}

/** A write that leaves its queue, and what is kept of it. */
export interface DepartedWrite {
  /** The section to which the record moves; `gone`: an operator has discarded the write, and the record is removed. */
  readonly section: 'done' | 'dead' | 'gone';
  readonly record: WriteRecord;
  /** The origin's response, which repetitions get; null: it gave none, or one that can't be kept. */
  readonly response?: OriginResponse | null;
  /** The hold that outlasts the write; null: its tags are invalidated and no longer held. */
  readonly timedHold: TimedHold | null;
  /** Tags that are invalidated together with the write's, or held with them by `timedHold`. */
  readonly moreTags: readonly string[];
}

/**
 * The durable queue of accepted writes. Each change is one transaction of the state, which includes the fence's rows if
 * the change begins or ends a hold. The change's promise resolves when the transaction is synced.
 */
export class Journal {
  readonly tables: JournalTables;
  readonly #deps: JournalDependencies;
  readonly #holds: StateTable;
  readonly #retention: Retention;
  readonly #appender: Appender;

  constructor(deps: JournalDependencies) {
    const { state, clock, durableClock, limits } = deps;
    this.#deps = deps;
    this.tables = new JournalTables(state);
    this.#holds = state.table('holds');
    this.#retention = new Retention(this.tables, limits);
    this.#appender = new Appender({
      tables: this.tables,
      holds: this.#holds,
      retention: this.#retention,
      clock,
      durableClock,
      limitBytes: () => limits().sizeBytes,
      hasWaitingBehind: (queue) => deps.hasWaitingBehind(queue),
    });
  }

  get counts(): JournalCounts {
    return this.tables.counts();
  }

  /** Restores the holds of waiting and dead writes. Must be called before any reader uses the fence. */
  restoreHolds(): void {
    const range = { from: Buffer.from('w'), to: Buffer.from('x') };
    for (const { value } of this.#holds.range(range)) {
      this.#deps.fence.restoreHold(readHoldRow(value).tags);
    }
  }

  /** When this resolves with `accepted`, the write is durable and in its queue, and its hold is in force. */
  async accept(write: OfferedWrite): Promise<Acceptance> {
    const { fence } = this.#deps;
    const tags = fence.hasher.hash(write.tags);
    let acceptance: Acceptance = { kind: 'not-durable' };
    let replaced: TagHashes | null = null;
    try {
      await fence.hold(tags, () => {
        const put = this.#appender.put(write, tags);
        acceptance = put.acceptance;
        replaced = put.replaced;
      });
    } catch (error) {
      if (error instanceof NotDurableError) return { kind: 'not-durable' };
      throw error;
    }
    if ((acceptance as Acceptance).kind !== 'accepted') fence.drop(tags);
    if (replaced !== null) fence.drop(replaced);
    return acceptance;
  }

  /** The state of an accepted write; `discarded`: no record of it exists any more. */
  progress(number: number): WriteProgress {
    for (const section of SECTIONS) {
      const read = this.tables.record(section, number);
      if (read === null) continue;
      if (read.kind === 'damaged') return { state: section, status: null, mergedInto: null };
      const { state, status, mergedInto } = read.record;
      return { state, status, mergedInto };
    }
    return { state: 'discarded', status: null, mergedInto: null };
  }

  /** Records durably that an attempt begins. Must resolve before anything is sent. */
  async begin(number: number, maxProcessingMs: number): Promise<Begun> {
    const { state, durableClock } = this.#deps;
    let begun: Begun = { kind: 'gone' };
    await state.write(() => {
      const read = this.tables.record('waiting', number);
      if (read === null) return;
      const body = this.tables.body(number);
      if (read.kind === 'damaged') {
        begun = { kind: 'unreadable' };
        return;
      }
      if (!isWhole(read.record.content, body)) {
        begun = { kind: 'damaged', record: read.record };
        return;
      }
      const record = begunRecord(read.record, durableClock.nowMs(), maxProcessingMs);
      durableClock.note();
      this.tables.putRecord('waiting', number, record);
      begun = { kind: 'begun', record, body: body ?? null };
    });
    return begun;
  }

  /** Records durably that the write is to be sent again at `record.dueAtMs`. */
  async again(number: number, record: WriteRecord): Promise<void> {
    const { state, durableClock } = this.#deps;
    await state.write(() => {
      const before = this.tables.record('waiting', number);
      if (before?.kind !== 'record') return;
      durableClock.note();
      this.tables.removeDue(before.record);
      this.tables.putRecord('waiting', number, record);
      this.tables.putDue(number, record);
    });
  }

  /**
   * Removes a write from its queue: it was delivered, discarded, or given up without stopping the queue. Its hold ends
   * or becomes a timed one. Resolves with false, and changes nothing, if the write had left its queue before.
   */
  async leave(number: number, leaving: DepartedWrite): Promise<boolean> {
    const { fence, timedHolds, state } = this.#deps;
    const row = this.#holds.get(waitingHoldKey(number));
    const tags = row === undefined ? new Uint32Array(0) : readHoldRow(row).tags;
    const { queue, tags: names } = leaving.record;
    const isShown = leaving.timedHold?.shown === number;
    const isShowing = leaving.section === 'done' && !isShown;
    let hasLeft = false;
    const change = (): void => {
      hasLeft = this.#moveRecord(number, leaving);
      if (hasLeft && isShowing) timedHolds.writeHidden(queue);
    };
    if (isShowing) timedHolds.stopShowing(queue);
    if (leaving.timedHold === null) {
      await fence.invalidate({ tags: [...names, ...leaving.moreTags], mode: 'hard', also: change });
      if (hasLeft) fence.drop(tags);
      return hasLeft;
    }
    const more = fence.hasher.hash(leaving.moreTags);
    const held = { ...leaving.timedHold, queue, tags: Uint32Array.of(...tags, ...more) };
    const id = timedHolds.newId();
    const changeAndHold = (): void => {
      change();
      if (hasLeft) timedHolds.write(id, held);
    };
    // The commit is visible before its promise resolves. The announcement prevents sending the next write in between.
    const announced = timedHolds.announce(held);
    try {
      if (more.length === 0) await state.write(changeAndHold);
      else await fence.hold(more, changeAndHold);
      if (hasLeft) timedHolds.keep(id, held);
      else fence.drop(more);
    } finally {
      announced();
    }
    return hasLeft;
  }

  /** Makes the write dead. It stops its queue, and its hold continues, until an operator retries or discards it. */
  async stopQueue(
    number: number,
    record: WriteRecord,
    response: OriginResponse | null = null,
  ): Promise<void> {
    await this.#deps.state.write(() => {
      const before = this.tables.record('waiting', number);
      if (before?.kind !== 'record') return;
      this.tables.removeDue(before.record);
      this.tables.removeRecord('waiting', number);
      this.tables.putRecord('dead', number, record);
      this.tables.putQueued(record.queue, { order: record.order, number, isDead: true });
      this.tables.count({ waiting: -1, dead: 1 });
      this.#retention.putResponse(number, record, response);
    });
  }

  /**
   * Makes every waiting write `uncertain` in its place, for an operator to decide. To be called if the state was restored
   * from a copy, which may lack deliveries made after it was taken. The holds continue.
   */
  async distrustWaiting(): Promise<void> {
    const { state, clock } = this.#deps;
    let after = 0;
    for (;;) {
      const found = [...this.tables.records('waiting', after, DISTRUSTED_AT_ONCE)];
      if (found.length === 0) return;
      after = found.at(-1)!.number;
      await state.write(() => {
        for (const { number, record: read } of found) {
          if (read.kind !== 'record') continue;
          const record = { ...read.record, ...whenDistrusted(clock.nowMs()) };
          this.tables.removeDue(record);
          this.tables.removeRecord('waiting', number);
          this.tables.putRecord('dead', number, record);
          this.tables.putQueued(record.queue, { order: record.order, number, isDead: true });
          this.tables.count({ waiting: -1, dead: 1 });
        }
      });
    }
  }

  /** Gives up a write whose record can't be read; the record stays unchanged. Its queue stops, and its hold continues. */
  async quarantine(row: DueRow): Promise<void> {
    await this.#deps.state.write(() => {
      if (this.tables.record('waiting', row.number)?.kind !== 'damaged') return;
      this.tables.removeDueRow(row);
      this.#quarantine(row.queue, row);
    });
  }

  /** Discards a write whose record can't be read. Resolves with the queue of its hold; null: it has no hold. */
  async discardUnreadable(number: number): Promise<OrderQueueId | null> {
    const held = this.#holds.get(waitingHoldKey(number));
    const hold = held === undefined ? null : readHoldRow(held);
    await this.#deps.fence.release(hold?.tags ?? new Uint32Array(0), [], () => {
      const bytes = this.tables.body(number)?.length ?? 0;
      this.tables.removeRecord('dead', number);
      this.tables.removeBody(number);
      this.tables.count({ dead: -1, bytes: -bytes });
      if (hold === null) return;
      this.#holds.remove(waitingHoldKey(number));
      const first = this.tables.first(hold.queue);
      if (first?.number === number) this.tables.removeQueued(hold.queue, first.order);
      this.#promote(hold.queue);
    });
    return hold?.queue ?? null;
  }

  /** Makes a dead write wait again: in its place if it stopped its queue, otherwise as the last. Null: it isn't dead. */
  async retry(number: number): Promise<WriteRecord | null> {
    const { state, durableClock, fence } = this.#deps;
    const found = this.tables.record('dead', number);
    if (found?.kind !== 'record') return null;
    const { queue, order } = found.record;
    const isQueued = this.tables.isQueued(queue, order);
    const tags = fence.hasher.hash(found.record.tags);
    let retried: WriteRecord | null = null;
    const change = (): void => {
      const read = this.tables.record('dead', number);
      if (read?.kind !== 'record') return;
      const place = isQueued ? order : this.tables.nextNumber();
      const record: WriteRecord = {
        ...read.record,
        state: 'waiting',
        order: place,
        attempts: 0,
        dueAtMs: durableClock.nowMs(),
        status: null,
        endedAtMs: null,
      };
      const first = this.tables.first(queue);
      const isFirst = first === null || first.order === place;
      durableClock.note();
      this.tables.removeRecord('dead', number);
      this.tables.removeResponse(number);
      this.tables.putRecord('waiting', number, record);
      this.tables.putQueued(queue, { order: place, number, isDead: false });
      if (isFirst) this.tables.putDue(number, record);
      if (!isQueued) writeHoldRow(this.#holds, waitingHoldKey(number), { kind: 'waiting', queue, tags });
      this.tables.count({ waiting: 1, dead: -1 });
      retried = record;
    };
    if (isQueued) await state.write(change);
    else {
      await fence.hold(tags, change);
      if (retried === null) fence.drop(tags);
    }
    return retried;
  }

  /** Within a change: moves the record to another section or removes it. False: the write neither waits nor is dead. */
  #moveRecord(number: number, { section, record, timedHold, response = null }: DepartedWrite): boolean {
    const from = this.tables.record('waiting', number) === null ? 'dead' : 'waiting';
    const before = this.tables.record(from, number);
    if (before?.kind !== 'record') return false;
    this.tables.removeDue(before.record);
    this.tables.removeRecord(from, number);
    this.tables.removeQueued(record.queue, before.record.order);
    this.#holds.remove(waitingHoldKey(number));
    this.tables.count({ [from]: -1 });
    if (section !== 'dead') {
      if (timedHold?.shown !== number) this.tables.removeBody(number);
      this.tables.count({ bytes: -record.bytes });
    }
    this.#putRecord(number, section, record);
    if (section === 'gone') this.tables.removeResponse(number);
    else this.#retention.putResponse(number, record, response);
    this.#promote(record.queue);
    return true;
  }

  #putRecord(number: number, section: DepartedWrite['section'], record: WriteRecord): void {
    switch (section) {
      case 'done':
        this.#retention.put(number, record);
        return;
      case 'dead':
        this.tables.putRecord('dead', number, record);
        this.tables.count({ dead: 1 });
        return;
      case 'gone':
        if (record.clientKey !== null) this.tables.removeKeyed(record.clientKey);
        return;
      default:
        section satisfies never;
    }
  }

  #promote(queue: OrderQueueId): void {
    const next = this.tables.first(queue);
    if (next === null || next.isDead) return;
    const read = this.tables.record('waiting', next.number);
    if (read?.kind === 'record') this.tables.putDue(next.number, read.record);
    else if (read !== null) this.#quarantine(queue, next);
  }

  /** Within a change: moves an unreadable record, byte for byte, to the dead writes. */
  #quarantine(queue: OrderQueueId, { order, number }: Pick<QueueRow, 'order' | 'number'>): void {
    this.tables.moveRecord('waiting', 'dead', number);
    this.tables.putQueued(queue, { order, number, isDead: true });
    this.tables.count({ waiting: -1, dead: 1 });
    this.#deps.onQuarantined(number);
  }
}

export interface JournalDependencies {
  readonly state: StateStore;
  readonly fence: Fence;
  readonly clock: Clock;
  readonly durableClock: DurableClock;
  readonly timedHolds: TimedHolds;
  limits(): JournalLimits;
  /** Whether a write outside the journal waits for its turn in the queue. */
  hasWaitingBehind(queue: OrderQueueId): boolean;
  /** Called when a write whose record can't be read was given up. */
  onQuarantined(number: number): void;
}

/** The writes that one transaction moves: a longer transaction would delay the other writes of the state. */
const DISTRUSTED_AT_ONCE = 1_000;

function whenDistrusted(nowMs: number): Pick<WriteRecord, 'state' | 'lastError' | 'endedAtMs'> {
  const lastError =
    'the state was restored from a copy: the write may have been delivered since the copy was taken';
  return { state: 'uncertain', lastError, endedAtMs: nowMs };
}

/** If `record` is already attempting, an earlier run began that attempt, and the origin may still process it. */
function begunRecord(record: WriteRecord, nowMs: number, maxProcessingMs: number): WriteRecord {
  const { isAttempting, wasUncertain, unknownUntilMs } = record;
  return {
    ...record,
    attempts: record.attempts + 1,
    isAttempting: true,
    wasUncertain: wasUncertain || isAttempting,
    unknownUntilMs: isAttempting ? Math.max(unknownUntilMs, nowMs + maxProcessingMs) : unknownUntilMs,
  };
}
