import type { Change, Data, DataObject } from '../../policies/change.ts';
import { isDataObject } from '../../policies/change.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { fieldValue } from '../../policies/http/fields.ts';
import { parseExactJson } from './exact-json.ts';
import type { FormatMessage, ParsedMessage } from './format.ts';

/** One event with its context attributes; `data` is null if there is none or it is not JSON. */
export interface CloudEvent {
  readonly attributes: Readonly<Record<string, Data>>;
  readonly data: Data;
}

export type ReadCloudEvents =
  | { readonly kind: 'events'; readonly events: readonly CloudEvent[] }
  | { readonly kind: 'unintelligible'; readonly reason: string };

/**
 * CloudEvents 1.0.2: format `cloudevents`. Names are looked up in the event's attributes and in its data, both
 * counting. `data.before` and `data.after` are the row's states. Data that is an array of objects has several
 * changes.
 */
export function parseCloudEvents(message: FormatMessage): ParsedMessage {
  const read = readCloudEvents(message);
  if (read.kind === 'unintelligible') return read;
  return { kind: 'transaction', changes: read.events.flatMap(changesOf) };
}

/** HTTP binding §3.1 to §3.3: the events of a message in binary, structured or batched mode. */
export function readCloudEvents(message: FormatMessage): ReadCloudEvents {
  const contentType = mediaType(fieldValue(message.fields, 'content-type') ?? '');
  const isStructured =
    contentType === 'application/cloudevents+json' || contentType === 'application/cloudevents-batch+json';
  if (!isStructured && fieldValue(message.fields, 'ce-specversion') !== undefined) return readBinary(message);

  const parsed = parseExactJson(message.body);
  if (parsed.kind === 'malformed') return { kind: 'unintelligible', reason: parsed.reason };
  return readAll(Array.isArray(parsed.data) ? (parsed.data as readonly Data[]) : [parsed.data]);
}

function readAll(items: readonly Data[]): ReadCloudEvents {
  const events: CloudEvent[] = [];
  for (const item of items) {
    const read = isDataObject(item) ? readStructured(item) : unintelligible('expected an event, an object');
    if (read.kind === 'unintelligible') return read;
    events.push(...read.events);
  }
  return { kind: 'events', events };
}

function readStructured(item: DataObject): ReadCloudEvents {
  const { data, data_base64: encoded, ...attributes } = item;
  const problem = attributeProblem(attributes);
  if (problem !== null) return unintelligible(problem);
  if (encoded === undefined) return { kind: 'events', events: [{ attributes, data: data ?? null }] };
  if (typeof encoded !== 'string') return unintelligible('data_base64 is not text');
  return withContent(attributes, Buffer.from(encoded, 'base64'), String(attributes['datacontenttype'] ?? ''));
}

function readBinary(message: FormatMessage): ReadCloudEvents {
  const attributes = headerAttributes(message.fields);
  const problem = attributeProblem(attributes);
  if (problem !== null) return unintelligible(problem);
  return withContent(attributes, message.body, fieldValue(message.fields, 'content-type') ?? '');
}

/** CloudEvents §3.1.1 and JSON format §3.1: data without a media type is JSON. */
function withContent(attributes: DataObject, content: Uint8Array, contentType: string): ReadCloudEvents {
  const media = mediaType(contentType);
  const isJson = media === '' || media.endsWith('/json') || media.endsWith('+json');
  if (content.length === 0 || !isJson) return { kind: 'events', events: [{ attributes, data: null }] };
  const parsed = parseExactJson(content);
  if (parsed.kind === 'malformed') return unintelligible(parsed.reason);
  return { kind: 'events', events: [{ attributes, data: parsed.data }] };
}

/** HTTP binding §3.1.3: names with the prefix `ce-`, values percent-encoded. */
function headerAttributes(fields: Fields): DataObject {
  const attributes: Record<string, Data> = {};
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i]!.toLowerCase();
    if (name.startsWith('ce-')) attributes[name.slice(3)] = percentDecoded(fields[i + 1]!);
  }
  return attributes;
}

function percentDecoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    // A % without two hexadecimal digits is kept.
    return value;
  }
}

/** CloudEvents §3.1: what is wrong with the required attributes; null: nothing. */
function attributeProblem(attributes: DataObject): string | null {
  if (attributes['specversion'] !== '1.0') return 'expected CloudEvents specversion 1.0';
  for (const name of ['id', 'source', 'type']) {
    const value = attributes[name];
    if (typeof value !== 'string' || value === '') return `the event has no ${name}`;
  }
  return null;
}

function changesOf(event: CloudEvent): Change[] {
  const data = event.data;
  const rows = Array.isArray(data) ? (data as readonly Data[]).filter(isDataObject) : [];
  if (rows.length > 0) return rows.map((row) => changeOf(event, row));
  return [changeOf(event, isDataObject(data) ? data : null)];
}

function changeOf(event: CloudEvent, data: DataObject | null): Change {
  const attributes: DataObject = { ...event.attributes, data: data ?? event.data };
  return {
    message: data === null ? [attributes] : [attributes, data],
    before: data !== null && isDataObject(data['before']) ? data['before'] : null,
    after: data !== null && isDataObject(data['after']) ? data['after'] : null,
    known: 'all',
  };
}

function mediaType(contentType: string): string {
  return contentType.split(';', 1)[0]!.trim().toLowerCase();
}

function unintelligible(reason: string): { readonly kind: 'unintelligible'; readonly reason: string } {
  return { kind: 'unintelligible', reason };
}
