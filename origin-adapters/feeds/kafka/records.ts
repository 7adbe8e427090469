import { createHash } from 'node:crypto';
import type { RecordsBatch } from '@platformatic/kafka';
import type { DataObject } from '../../../policies/change.ts';
import type { Fields } from '../../../policies/http/fields.ts';
import type { Format } from '../../formats/format.ts';
import { messageEvent } from '../../formats/formats.ts';
import type { FeedEvent } from '../feed.ts';
import type { PartitionAnswer } from './client.ts';
import type { RecordMark } from './position.ts';

export type KafkaRecord = RecordsBatch['records'][number];

/** The only message format that the client reads. */
export const MESSAGE_FORMAT = 2;
const CONTROL = 0x20;
const LOG_APPEND_TIME = 0x08;

/** Control batches mark the ends of transactions and have no records of the topic. */
export function isControl(batch: RecordsBatch): boolean {
  return (batch.attributes & CONTROL) !== 0;
}

/** The offset after the batch's last record, even if that record was removed. */
export function endOf(batch: RecordsBatch): bigint {
  return batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n;
}

/**
 * Whether offsets are missing from `next` on: the log was compacted, and the removed records are unknown. The client
 * omits aborted records, which explains a hole, unless a producer aborted twice: then it can't be distinguished.
 */
export function hasHole(data: PartitionAnswer, next: bigint): boolean {
  const aborters = (data.abortedTransactions ?? []).map(({ producerId }) => producerId);
  if (aborters.length > 0 && new Set(aborters).size === aborters.length) return false;
  let expected = next;
  for (const batch of data.records ?? []) {
    const end = endOf(batch);
    if (end <= expected) continue;
    const isWhole = batch.records.length === batch.lastOffsetDelta + 1;
    if (batch.firstOffset > expected || !isWhole) return true;
    expected = end;
  }
  return false;
}

/** The properties by which a message is recognised: its time, key and value. */
export function markOf(batch: RecordsBatch, record: KafkaRecord): RecordMark {
  const hash = createHash('sha256').update(`${timestampOf(batch, record)}\n`);
  for (const bytes of [record.key, record.value])
    hash.update(`${bytes?.length ?? -1}:`).update(bytes ?? empty);
  const digest = hash.digest('base64url').slice(0, DIGEST_LENGTH);
  return { offset: batch.firstOffset + BigInt(record.offsetDelta), digest };
}

/** Short, because positions have one digest for each partition. */
const DIGEST_LENGTH = 12;

/**
 * Whether the log is the one in which `expected` was read. The response should begin with that message; a log that
 * was restored to an older state and written on has another one there. `unknown`: nothing was received yet.
 */
export function decideSameLog(expected: RecordMark, data: PartitionAnswer): 'same' | 'other' | 'unknown' {
  const batches = (data.records ?? []).filter((batch) => endOf(batch) > expected.offset);
  if (batches.length === 0) return 'unknown';
  return markAt(expected.offset, data)?.digest === expected.digest ? 'same' : 'other';
}

/** The mark of the message at that offset; null: the response does not contain it. */
export function markAt(offset: bigint, data: PartitionAnswer): RecordMark | null {
  for (const batch of data.records ?? []) {
    const record = isControl(batch) ? undefined : recordAt(batch, offset);
    if (record !== undefined) return markOf(batch, record);
  }
  return null;
}

function recordAt(batch: RecordsBatch, offset: bigint): KafkaRecord | undefined {
  return batch.records.find(({ offsetDelta }) => batch.firstOffset + BigInt(offsetDelta) === offset);
}

/** The record as an event. `kafka` contains the topic, and the key if it is text. */
export function recordEvent(
  format: Format,
  topic: string,
  batch: RecordsBatch,
  record: KafkaRecord,
  position: string,
): FeedEvent {
  const message = { body: record.value ?? empty, fields: fieldsOf(record), key: record.key };
  const event = messageEvent(format, message, position);
  if (event.kind !== 'change') return event;
  const about = { kafka: aboutRecord(topic, record) };
  const changes = event.changes.map((change) => ({ ...change, message: [...change.message, about] }));
  const committedAtMs = timestampOf(batch, record);
  return { ...event, changes, ...(committedAtMs === null ? {} : { committedAtMs }) };
}

const empty = new Uint8Array(0);
const text = new TextDecoder('utf-8', { fatal: true });

function aboutRecord(topic: string, record: KafkaRecord): DataObject {
  const key = record.key === null ? null : textOf(record.key);
  return key === null ? { topic } : { topic, key };
}

function textOf(bytes: Uint8Array): string | null {
  try {
    return text.decode(bytes);
  } catch {
    // A key of arbitrary bytes provides no name for lookups.
    return null;
  }
}

/**
 * CloudEvents Kafka binding §3.2: attributes have the prefix `ce_`; values are UTF-8, not percent-encoded as in HTTP.
 */
function fieldsOf(record: KafkaRecord): Fields {
  const fields: string[] = [];
  for (const [nameBytes, valueBytes] of record.headers) {
    const name = nameBytes?.toString('utf8').toLowerCase() ?? '';
    const value = valueBytes?.toString('utf8') ?? '';
    if (name.startsWith('ce_')) fields.push(`ce-${name.slice(3)}`, value.replaceAll('%', '%25'));
    else fields.push(name, value);
  }
  return fields;
}

function timestampOf(batch: RecordsBatch, record: KafkaRecord): number | null {
  const isAppendTime = (batch.attributes & LOG_APPEND_TIME) !== 0;
  const timestamp = isAppendTime ? batch.maxTimestamp : batch.firstTimestamp + record.timestampDelta;
  return timestamp < 0n ? null : Number(timestamp);
}
