import { withoutFields, type Fields } from '../../../policies/http/fields.ts';
import { hasSameCredentials } from '../../../policies/writes.ts';
import type { Clock } from '../../threads/clock.ts';
import type { TagHashes } from '../../fence/tag-hash.ts';
import type { StateTable } from '../../state/state-store.ts';
import type { Retention } from './retention.ts';
import { readHoldRow, waitingHoldKey, writeHoldRow } from './hold-rows.ts';
import type { OrderQueueId } from './order-queues.ts';
import { contentOf, newWriteId, type WriteRecord } from './record.ts';
import type { DurableClock } from './durable-clock.ts';
import type { JournalTables } from './tables.ts';

/** A request that Weir acknowledges before it sends it to the origin. */
export interface OfferedWrite {
  readonly origin: string;
  readonly route: string;
  readonly method: string;
  readonly target: string;
  readonly authority: string;
  readonly scheme: string;
  readonly fields: Fields;
  readonly body: Uint8Array | null;
  /** The client's Idempotency-Key; null: the write's id is used. */
  readonly idempotencyKey: string | null;
  /** `scoped` is what `scopedIdempotencyKey` returns, `digest` what `requestDigest` returns; null: no client's key. */
  readonly clientKey: { readonly scoped: string; readonly digest: string } | null;
  /** Whether the write may replace a waiting write, and a later one may replace it. */
  readonly merges: boolean;
  readonly queue: OrderQueueId;
  readonly tags: readonly string[];
}

export type Acceptance =
  | {
      readonly kind: 'accepted';
      readonly number: number;
      readonly id: string;
      readonly merged: string | null;
    }
  /** The same request with the same Idempotency-Key was accepted before. */
  | { readonly kind: 'repeated'; readonly number: number; readonly id: string }
  /** Another request with this Idempotency-Key was accepted before. */
  | { readonly kind: 'mismatch' }
  | { readonly kind: 'full' }
  | { readonly kind: 'not-durable' };

/** The result of an offer, and the tags that the replaced write held; null: none was replaced. */
export interface Put {
  readonly acceptance: Acceptance;
  readonly replaced: TagHashes | null;
}

export interface AppenderDependencies {
  readonly tables: JournalTables;
  readonly holds: StateTable;
  readonly retention: Retention;
  readonly clock: Clock;
  readonly durableClock: DurableClock;
  /** The maximum size of all waiting and dead writes together. */
  limitBytes(): number;
  /** Whether a write outside the journal waits for its turn in the queue. */
  hasWaitingBehind(queue: OrderQueueId): boolean;
}

/** The estimated bytes of a write in addition to content and fields. Used only for the limit. */
const ROW_BYTES = 1024;

/** Appends writes to their queues, or merges them with the last one. */
export class Appender {
  readonly #deps: AppenderDependencies;

  constructor(deps: AppenderDependencies) {
    this.#deps = deps;
  }

  /** Appends a write. To be called within a change of the state that begins the hold of `tags`. */
  put(write: OfferedWrite, tags: TagHashes): Put {
    const { tables, limitBytes } = this.#deps;
    const { clientKey } = write;
    const known = clientKey === null ? null : tables.keyed(clientKey.scoped);
    if (known !== null) {
      const { number, id } = known;
      const isSame = known.digest === clientKey!.digest;
      return { acceptance: isSame ? { kind: 'repeated', number, id } : { kind: 'mismatch' }, replaced: null };
    }
    const bytes = sizeOf(write);
    if (tables.counts().bytes + bytes > limitBytes()) {
      return { acceptance: { kind: 'full' }, replaced: null };
    }
    const before = write.merges ? this.#mergeable(write) : null;
    const number = tables.nextNumber();
    const record = this.#newRecord(write, number);
    if (before !== null) this.#merge(before, record);
    this.#enter(write, number, record, tags);
    const merged = before?.record.id ?? null;
    return {
      acceptance: { kind: 'accepted', number, id: record.id, merged },
      replaced: before?.tags ?? null,
    };
  }

  #enter(write: OfferedWrite, number: number, record: WriteRecord, tags: TagHashes): void {
    const { tables, holds, durableClock } = this.#deps;
    const { queue, body, clientKey } = write;
    const isFirst = tables.first(queue) === null;
    durableClock.note();
    tables.putRecord('waiting', number, record);
    if (body !== null) tables.putBody(number, body);
    tables.putQueued(queue, { order: record.order, number, isDead: false });
    if (isFirst) tables.putDue(number, record);
    if (clientKey !== null) {
      tables.putKeyed(clientKey.scoped, { number, id: record.id, digest: clientKey.digest });
    }
    writeHoldRow(holds, waitingHoldKey(number), { kind: 'waiting', queue, tags });
    tables.count({ waiting: 1, bytes: record.bytes });
  }

  #newRecord(write: OfferedWrite, number: number): WriteRecord {
    const { clock, durableClock } = this.#deps;
    const id = newWriteId(number);
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
      // Removes an empty Idempotency-Key of the client, which would be sent in addition to Weir's.
      fields:
        write.idempotencyKey === null
          ? [...withoutFields(write.fields, IDEMPOTENCY_KEY), 'Idempotency-Key', idempotencyKey]
          : write.fields,
      idempotencyKey,
      clientKey: write.clientKey?.scoped ?? null,
      queue: write.queue,
      tags: write.tags,
      order: number,
      content: contentOf(write.body),
      bytes: sizeOf(write),
      merges: write.merges,
      acceptedAtMs: clock.nowMs(),
      dueAtMs: durableClock.nowMs(),
      attempts: 0,
      isAttempting: false,
      wasUncertain: false,
      unknownUntilMs: 0,
      lastError: null,
      status: null,
      endedAtMs: null,
      mergedInto: null,
    };
  }

  /** The queue's last write if it may be replaced: same credentials and route, never attempted, none waits behind it. */
  #mergeable({ queue, route, fields }: OfferedWrite): Replaceable | null {
    const { tables, holds, hasWaitingBehind } = this.#deps;
    if (hasWaitingBehind(queue)) return null;
    const last = tables.last(queue);
    if (last === null || last.isDead) return null;
    const read = tables.record('waiting', last.number);
    if (read?.kind !== 'record') return null;
    const { record } = read;
    const hold = holds.get(waitingHoldKey(last.number));
    if (!record.merges || record.attempts > 0 || record.route !== route || hold === undefined) return null;
    if (!hasSameCredentials(record.fields, fields)) return null;
    return { number: last.number, record, tags: readHoldRow(hold).tags };
  }

  #merge({ number, record }: Replaceable, by: WriteRecord): void {
    const { tables, holds, retention } = this.#deps;
    tables.removeRecord('waiting', number);
    tables.removeQueued(record.queue, record.order);
    tables.removeDue(record);
    tables.removeBody(number);
    holds.remove(waitingHoldKey(number));
    const endedAtMs = by.acceptedAtMs;
    tables.count({ waiting: -1, bytes: -record.bytes });
    retention.put(number, { ...record, state: 'done', endedAtMs, mergedInto: by.id });
  }
}

const IDEMPOTENCY_KEY: ReadonlySet<string> = new Set(['idempotency-key']);

interface Replaceable {
  readonly number: number;
  readonly record: WriteRecord;
  readonly tags: TagHashes;
}

function sizeOf({ body, fields }: OfferedWrite): number {
  const fieldBytes = fields.reduce((sum, text) => sum + text.length, 0);
  return (body?.byteLength ?? 0) + fieldBytes + ROW_BYTES;
}
