import { randomBytes } from 'node:crypto';
import type { Fields } from '../../policies/http/fields.ts';
import type { Clock } from '../clock.ts';
import { NotDurableError, type Fence } from '../fence/fence.ts';
import { hashTags, type TagHashes } from '../fence/tag-hash.ts';
import type { StateStore, StateTable } from '../state/state-store.ts';
import { readHoldRow, waitingHoldKey, writeHoldRow, type HoldOfLine, type Lingering } from './hold-rows.ts';
import type { LineKey } from './line.ts';
import type { LingeringHolds } from './lingering-holds.ts';
import { contentOf, isWhole, type WriteRecord } from './record.ts';
import { JournalTables, type DueRow, type JournalCounts } from './tables.ts';

/** A request that is to be acknowledged before the origin has it. */
export interface OfferedWrite {
  readonly origin: string;
  readonly route: string;
  readonly method: string;
  readonly target: string;
  readonly authority: string;
  readonly scheme: string;
  readonly fields: Fields;
  readonly body: Uint8Array | null;
  /** The client's own; null: Weir gives one. */
  readonly idempotencyKey: string | null;
  /** The client's, as it is remembered, and what the request is. */
  readonly clientKey: { readonly scoped: string; readonly digest: string } | null;
  /** May take the place of one that waits, and be replaced. */
  readonly merges: boolean;
  readonly line: LineKey;
  readonly tags: readonly string[];
}

export type Acceptance =
  | {
      readonly kind: 'accepted';
      readonly number: number;
      readonly id: string;
      readonly merged: string | null;
    }
  /** The same request under the same Idempotency-Key was accepted before. */
  | { readonly kind: 'repeated'; readonly number: number; readonly id: string }
  /** Another request was. */
  | { readonly kind: 'mismatch' }
  | { readonly kind: 'full' }
  | { readonly kind: 'not-durable' };

export interface JournalLimits {
  readonly sizeBytes: number;
  /** Delivered writes that can still be asked for. */
  readonly done: number;
}

/** A write and its content, as it is sent. */
export type Begun =
  | { readonly kind: 'begun'; readonly record: WriteRecord; readonly body: Buffer | null }
  /** Torn or overwritten: it is never sent. */
  | { readonly kind: 'damaged' }
  /** It was given up, merged or discarded meanwhile. */
  | { readonly kind: 'gone' };

/** How a write leaves its line. */
export interface Leaving {
  /** `gone`: an operator has discarded it. */
  readonly shelf: 'done' | 'dead' | 'gone';
  readonly record: WriteRecord;
  /** What goes on being held, and for how long; null: nothing. */
  readonly lingering: Lingering | null;
  /** Invalidated beside what is held. */
  readonly moreTags: readonly string[];
}

/** Of a record and its rows, beside content and fields: an estimate, for the limit alone. */
const ROW_BYTES = 1024;
/** Delivered writes that are forgotten with each that is delivered, at most. */
const FORGOTTEN_AT_ONCE = 4;

/**
 * The durable queue of accepted writes. Each change is one transaction of the state, with the fence's where holds are
 * concerned; whoever asked for it is answered when it is synced.
 */
export class Journal {
  readonly tables: JournalTables;
  readonly #deps: JournalDependencies;
  readonly #holds: StateTable;

  constructor(deps: JournalDependencies) {
    this.#deps = deps;
    this.tables = new JournalTables(deps.state);
    this.#holds = deps.state.table('holds');
  }

  get counts(): JournalCounts {
    return this.tables.counts();
  }

  /** Puts the holds of waiting writes back, before any reader is there. */
  restoreHolds(): void {
    const range = { from: Buffer.from('w'), to: Buffer.from('x') };
    for (const { value } of this.#holds.range(range)) {
      this.#deps.fence.restoreHold(readHoldRow(value).tags);
    }
  }

  /** In force, durable and in its place in the line when it resolves with `accepted`. */
  async accept(write: OfferedWrite): Promise<Acceptance> {
    const { fence } = this.#deps;
    const tags = hashTags(write.tags);
    let acceptance: Acceptance = { kind: 'not-durable' };
    let replaced: TagHashes | null = null;
    try {
      await fence.hold(tags, () => {
        const put = this.#put(write, tags);
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

  /** The first write of the origin that is due and not `skipped`, and when the next one is. */
  nextDue(
    origin: string,
    nowMs: number,
    skipped: (row: DueRow) => boolean,
  ): { row: DueRow | null; atMs: number } {
    for (const row of this.tables.dues(origin)) {
      if (row.dueAtMs > nowMs) return { row: null, atMs: row.dueAtMs };
      if (!skipped(row)) return { row, atMs: row.dueAtMs };
    }
    return { row: null, atMs: Number.POSITIVE_INFINITY };
  }

  /** Writes down that an attempt begins. */
  async begin(number: number, maxProcessingMs: number): Promise<Begun> {
    const nowMs = this.#deps.clock.nowMs();
    let begun: Begun = { kind: 'gone' };
    await this.#deps.state.write(() => {
      const read = this.tables.record('waiting', number);
      if (read === null) return;
      const body = this.tables.body(number);
      if (read.kind === 'damaged' || !isWhole(read.record.content, body)) {
        begun = { kind: 'damaged' };
        return;
      }
      const record = begunRecord(read.record, nowMs, maxProcessingMs);
      this.tables.putRecord('waiting', number, record);
      begun = { kind: 'begun', record, body: body ?? null };
    });
    return begun;
  }

  /** Writes down that it is to be sent again at `record.dueAtMs`, or that the attempt was none. */
  async again(number: number, record: WriteRecord): Promise<void> {
    await this.#deps.state.write(() => {
      const before = this.tables.record('waiting', number);
      if (before?.kind !== 'record') return;
      this.tables.removeDue(before.record);
      this.tables.putRecord('waiting', number, record);
      this.tables.putDue(number, record);
    });
  }

  /** Delivered, discarded, or given up without stopping those behind it: its hold ends or lingers. */
  async leave(number: number, leaving: Leaving): Promise<void> {
    const { fence, lingering, state } = this.#deps;
    const row = this.#holds.get(waitingHoldKey(number));
    const tags = row === undefined ? new Uint32Array(0) : readHoldRow(row).tags;
    const { line } = leaving.record;
    const isShown = leaving.lingering?.shown === number;
    const hide = leaving.shelf === 'done' && !isShown ? lingering.stopShowing(line) : () => {};
    if (leaving.lingering === null) {
      await fence.release(tags, leaving.moreTags, () => {
        this.#move(number, leaving);
        hide();
      });
      return;
    }
    const held: HoldOfLine & Lingering = { ...leaving.lingering, line, tags };
    const id = lingering.newId();
    const change = (): void => {
      this.#move(number, leaving);
      hide();
      lingering.write(id, held);
    };
    // Once it is committed the next of the line is due, and that may be seen before it is heard of here.
    const unblock = held.blocks ? lingering.block(line) : () => {};
    try {
      if (leaving.moreTags.length === 0) await state.write(change);
      else await fence.invalidate({ tags: leaving.moreTags, mode: 'hard', also: change });
      lingering.keep(id, held);
    } finally {
      unblock();
    }
  }

  /** Given up, and nothing behind it is delivered until somebody decides. Its hold goes on. */
  async stopLine(number: number, record: WriteRecord): Promise<void> {
    await this.#deps.state.write(() => {
      const before = this.tables.record('waiting', number);
      if (before?.kind !== 'record') return;
      this.tables.removeDue(before.record);
      this.tables.removeRecord('waiting', number);
      this.tables.putRecord('dead', number, record);
      this.tables.putLine(record.line, { order: record.order, number, isDead: true });
      this.#count({ waiting: -1, dead: 1 });
    });
  }

  /** An operator has it sent again: in its place where it stopped its line, else behind all others. */
  async retry(number: number): Promise<WriteRecord | null> {
    const { clock, fence } = this.#deps;
    const nowMs = clock.nowMs();
    const found = this.tables.record('dead', number);
    if (found?.kind !== 'record') return null;
    const { line, order } = found.record;
    const isInLine = this.tables.first(line)?.order === order;
    const tags = hashTags(found.record.tags);
    let retried: WriteRecord | null = null;
    const change = (): void => {
      const read = this.tables.record('dead', number);
      if (read?.kind !== 'record') return;
      const place = isInLine ? order : this.#number();
      const record: WriteRecord = {
        ...read.record,
        state: 'waiting',
        order: place,
        attempts: 0,
        dueAtMs: nowMs,
        endedAtMs: null,
      };
      const isFirst = isInLine || this.tables.first(line) === null;
      this.tables.removeRecord('dead', number);
      this.tables.putRecord('waiting', number, record);
      this.tables.putLine(line, { order: place, number, isDead: false });
      if (isFirst) this.tables.putDue(number, record);
      if (!isInLine) writeHoldRow(this.#holds, waitingHoldKey(number), { kind: 'waiting', line, tags });
      this.#count({ waiting: 1, dead: -1 });
      retried = record;
    };
    if (isInLine) await this.#deps.state.write(change);
    else {
      await fence.hold(tags, change);
      if (retried === null) fence.drop(tags);
    }
    return retried;
  }

  /** Within a change. */
  #put(write: OfferedWrite, tags: TagHashes): { acceptance: Acceptance; replaced: TagHashes | null } {
    const { clientKey } = write;
    const known = clientKey === null ? null : this.tables.keyed(clientKey.scoped);
    if (known !== null) {
      const { number, id } = known;
      const isSame = known.digest === clientKey!.digest;
      return { acceptance: isSame ? { kind: 'repeated', number, id } : { kind: 'mismatch' }, replaced: null };
    }
    const bytes = sizeOf(write);
    if (this.counts.bytes + bytes > this.#deps.limits().sizeBytes) {
      return { acceptance: { kind: 'full' }, replaced: null };
    }
    const before = write.merges ? this.#mergeable(write) : null;
    const number = this.#number();
    const record = this.#newRecord(write, number);
    if (before !== null) this.#merge(before, record);
    const isFirst = this.tables.first(write.line) === null;
    this.tables.putRecord('waiting', number, record);
    if (write.body !== null) this.tables.putBody(number, write.body);
    this.tables.putLine(write.line, { order: record.order, number, isDead: false });
    if (isFirst) this.tables.putDue(number, record);
    if (clientKey !== null) {
      this.tables.putKeyed(clientKey.scoped, { number, id: record.id, digest: clientKey.digest });
    }
    const { line } = write;
    writeHoldRow(this.#holds, waitingHoldKey(number), { kind: 'waiting', line, tags });
    this.#count({ waiting: 1, bytes });
    const merged = before?.record.id ?? null;
    return {
      acceptance: { kind: 'accepted', number, id: record.id, merged },
      replaced: before?.tags ?? null,
    };
  }

  #newRecord(write: OfferedWrite, number: number): WriteRecord {
    const nowMs = this.#deps.clock.nowMs();
    const id = `${number.toString(36)}-${randomBytes(8).toString('hex')}`;
    const idempotencyKey = write.idempotencyKey ?? `"${id}"`;
    return {
      id,
      state: 'waiting',
      origin: write.origin,
      route: write.route,
      method: write.method,
      target: write.target,
      authority: write.authority,
      scheme: write.scheme,
      fields:
        write.idempotencyKey === null ? [...write.fields, 'Idempotency-Key', idempotencyKey] : write.fields,
      idempotencyKey,
      clientKey: write.clientKey?.scoped ?? null,
      line: write.line,
      tags: write.tags,
      order: number,
      content: contentOf(write.body),
      bytes: sizeOf(write),
      merges: write.merges,
      acceptedAtMs: nowMs,
      dueAtMs: nowMs,
      attempts: 0,
      isAttempting: false,
      wasUncertain: false,
      unknownUntilMs: 0,
      lastError: null,
      endedAtMs: null,
      mergedInto: null,
    };
  }

  /** The last write of the line, where it may give way: it was never attempted, and nothing waits behind it. */
  #mergeable({ line, route }: OfferedWrite): Replaceable | null {
    if (this.#deps.hasWaitingBehind(line)) return null;
    const last = this.tables.last(line);
    if (last === null || last.isDead) return null;
    const read = this.tables.record('waiting', last.number);
    if (read?.kind !== 'record') return null;
    const { record } = read;
    const hold = this.#holds.get(waitingHoldKey(last.number));
    if (!record.merges || record.attempts > 0 || record.route !== route || hold === undefined) return null;
    return { number: last.number, record, tags: readHoldRow(hold).tags };
  }

  #merge({ number, record }: Replaceable, by: WriteRecord): void {
    this.tables.removeRecord('waiting', number);
    this.tables.removeLine(record.line, record.order);
    this.tables.removeDue(record);
    this.tables.removeBody(number);
    this.#holds.remove(waitingHoldKey(number));
    const endedAtMs = by.acceptedAtMs;
    this.tables.putRecord('done', number, { ...record, state: 'done', endedAtMs, mergedInto: by.id });
    this.#count({ waiting: -1, done: 1, bytes: -record.bytes });
    this.#forgetDone();
  }

  /** Within a change: from where it is to a shelf, or away. */
  #move(number: number, { shelf, record, lingering }: Leaving): void {
    const from = this.tables.record('waiting', number) === null ? 'dead' : 'waiting';
    const before = this.tables.record(from, number);
    if (before?.kind !== 'record') return;
    this.tables.removeDue(before.record);
    this.tables.removeRecord(from, number);
    this.tables.removeLine(record.line, before.record.order);
    this.#holds.remove(waitingHoldKey(number));
    this.#count({ [from]: -1 });
    if (shelf !== 'gone') {
      this.tables.putRecord(shelf, number, record);
      this.#count({ [shelf]: 1 });
    } else if (record.clientKey !== null) this.tables.removeKeyed(record.clientKey);
    if (shelf !== 'dead') {
      if (lingering?.shown !== number) this.tables.removeBody(number);
      this.#count({ bytes: -record.bytes });
    }
    if (shelf === 'done') this.#forgetDone();
    this.#promote(record.line);
  }

  #promote(line: LineKey): void {
    const next = this.tables.first(line);
    if (next === null || next.isDead) return;
    const read = this.tables.record('waiting', next.number);
    if (read?.kind === 'record') this.tables.putDue(next.number, read.record);
  }

  #forgetDone(): void {
    const surplus = this.counts.done - this.#deps.limits().done;
    if (surplus <= 0) return;
    // Taken out of the cursor before anything is removed under it.
    const oldest = Array.from(this.tables.records('done', 0, Math.min(surplus, FORGOTTEN_AT_ONCE)));
    for (const { number, record } of oldest) {
      this.tables.removeRecord('done', number);
      if (record.kind === 'record' && record.record.clientKey !== null && record.record.mergedInto === null) {
        this.tables.removeKeyed(record.record.clientKey);
      }
      this.#count({ done: -1 });
    }
  }

  #number(): number {
    const counts = this.counts;
    const last = counts.last + 1;
    this.tables.putCounts({ ...counts, last });
    return last;
  }

  #count(by: Partial<Record<'waiting' | 'dead' | 'done' | 'bytes', number>>): void {
    const counts = this.counts;
    this.tables.putCounts({
      last: counts.last,
      waiting: counts.waiting + (by.waiting ?? 0),
      dead: counts.dead + (by.dead ?? 0),
      done: counts.done + (by.done ?? 0),
      bytes: Math.max(0, counts.bytes + (by.bytes ?? 0)),
    });
  }
}

export interface JournalDependencies {
  readonly state: StateStore;
  readonly fence: Fence;
  readonly clock: Clock;
  readonly lingering: LingeringHolds;
  limits(): JournalLimits;
  /** Whether a write beside the journal waits for those of the line. */
  hasWaitingBehind(line: LineKey): boolean;
}

interface Replaceable {
  readonly number: number;
  readonly record: WriteRecord;
  readonly tags: TagHashes;
}

function sizeOf({ body, fields }: OfferedWrite): number {
  const fieldBytes = fields.reduce((sum, text) => sum + text.length, 0);
  return (body?.byteLength ?? 0) + fieldBytes + ROW_BYTES;
}

/** An attempt that was under way when an earlier run ended may have been carried out, or be so still. */
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
