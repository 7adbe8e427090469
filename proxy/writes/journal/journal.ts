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
  /** Of writes that wait or are dead. */
  readonly sizeBytes: number;
}

/** A write whose attempt has begun, or why none has. */
export type Begun =
  | { readonly kind: 'begun'; readonly record: WriteRecord; readonly body: Buffer | null }
  /** Its content is torn or overwritten, so it is never sent. */
  | { readonly kind: 'damaged'; readonly record: WriteRecord }
  /** Its record is torn or overwritten. */
  | { readonly kind: 'unreadable' }
  /** It was given up, merged or discarded before. */
  | { readonly kind: 'gone' };

/** What has become of a write, for its client. */
export interface WriteProgress {
  readonly state: WriteRecord['state'] | 'discarded';
  /** The status of the origin's last response; null: there was none, or it is not known. */
  readonly status: number | null;
  readonly mergedInto: string | null;
}

/** A write that leaves its queue, and what remains of it. */
export interface DepartedWrite {
  /** Where its record goes; `gone`: nowhere, an operator has discarded it. */
  readonly section: 'done' | 'dead' | 'gone';
  readonly record: WriteRecord;
  /** The origin's response, which repetitions get; null: it gave none, or none that can be kept. */
  readonly response?: OriginResponse | null;
  /** The hold that outlasts it; null: its tags are invalidated and no longer held. */
  readonly timedHold: TimedHold | null;
  /** Tags that are invalidated with those of its hold, or held on with them. */
  readonly moreTags: readonly string[];
}

/**
 * The durable queue of accepted writes. Each change is one transaction of the state, together with the fence's where it
 * begins or ends a hold, and has resolved when it is synced.
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

  /** Restores the holds of waiting writes. No reader may look at the fence before. */
  restoreHolds(): void {
    const range = { from: Buffer.from('w'), to: Buffer.from('x') };
    for (const { value } of this.#holds.range(range)) {
      this.#deps.fence.restoreHold(readHoldRow(value).tags);
    }
  }

  /** Once it resolves with `accepted`, the write is durable and in its queue, and its hold is in force. */
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

  /** What has become of a write that was accepted. */
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

  /** Makes durable that an attempt begins, before anything is sent. */
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

  /** Makes durable that the write is sent again at `record.dueAtMs`, or that nothing of it was sent. */
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
   * The write is delivered, discarded, or given up without stopping its queue: its hold ends, or becomes a timed one. False,
   * and nothing is changed, where it had left its queue before.
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
    // The commit is visible before its promise resolves. Without the announcement the next write could go in between.
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

  /** The write is dead and stops its queue until an operator decides. Its hold goes on. */
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
   * Makes every waiting write `uncertain`, each in its place, for an operator to decide: the state was restored from a copy,
   * and may lack their delivery. Their holds go on.
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

  /** Gives up a write whose record can't be read: as it is, in its place. Its queue stops, and its hold goes on. */
  async quarantine(row: DueRow): Promise<void> {
    await this.#deps.state.write(() => {
      if (this.tables.record('waiting', row.number)?.kind !== 'damaged') return;
      this.tables.removeDueRow(row);
      this.#quarantine(row.queue, row);
    });
  }

  /** Discards a write whose record can't be read. Resolves with its queue; null: it stopped none. */
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

  /** Sends a dead write again: in its place where it stopped its queue, else after all others. Null: it is not dead. */
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

  /** Within a change: moves the record to another section, or removes it. False: it neither waits nor is dead. */
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

  /** Within a change: an unreadable record stays as it is, as it can't be written anew. */
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
  /** Whether a write that is not the journal's waits for its turn in the queue. */
  hasWaitingBehind(queue: OrderQueueId): boolean;
  /** A write whose record can't be read was given up. */
  onQuarantined(number: number): void;
}

/** Writes that are moved in one transaction, which delays every other write of the state. */
const DISTRUSTED_AT_ONCE = 1_000;

function whenDistrusted(nowMs: number): Pick<WriteRecord, 'state' | 'lastError' | 'endedAtMs'> {
  const lastError = 'the state was restored from a copy: it may have been delivered since the copy was taken';
  return { state: 'uncertain', lastError, endedAtMs: nowMs };
}

/** An attempt found under way is one of an earlier run: it may have been carried out, or may be even now. */
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
