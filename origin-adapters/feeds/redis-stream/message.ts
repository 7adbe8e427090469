import type { DataObject } from '../../../policies/change.ts';
import { formats, messageEvent } from '../../formats/formats.ts';
import type { FeedConfig } from '../../../policies/config/config.ts';
import type { FeedEvent } from '../feed.ts';
import type { StreamEntry } from './position.ts';

/** The configuration by which entries are read. */
export interface EntryReading {
  readonly format: FeedConfig['format'];
  /** The field that contains the message; `*`: the change is made of all fields. */
  readonly field: string;
}

/** The event of one entry, which is one transaction. */
export function entryEvent(entry: StreamEntry, position: string, { format, field }: EntryReading): FeedEvent {
  const committedAtMs = committedAtMsOf(entry.id);
  const event = field === '*' ? rowEvent(entry, position) : fieldEvent(entry, position, format, field);
  if (event.kind !== 'change' || committedAtMs === null) return event;
  return { ...event, committedAtMs };
}

/** Ids made by Redis begin with their time; those of applications need not. */
function committedAtMsOf(id: string): number | null {
  const ms = Number(id.split('-', 1)[0]);
  return ms >= OLDEST_TIME_MS && ms <= Number.MAX_SAFE_INTEGER ? ms : null;
}

/** 2010: earlier than any Redis stream. */
const OLDEST_TIME_MS = 1_262_304_000_000;

function rowEvent(entry: StreamEntry, position: string): FeedEvent {
  const row: DataObject = Object.fromEntries(
    namedFields(entry).map(([name, value]) => [name, value.toString('utf8')]),
  );
  return { kind: 'change', position, changes: [{ message: [row], before: null, after: null, known: 'all' }] };
}

/** The other fields are the message's headers; `key` is its key. */
function fieldEvent(
  entry: StreamEntry,
  position: string,
  format: FeedConfig['format'],
  field: string,
): FeedEvent {
  const named = namedFields(entry);
  const body = named.find(([name]) => name === field)?.[1];
  if (body === undefined) {
    const names = named.map(([name]) => name).join(', ');
    return { kind: 'unintelligible', position, reason: `the entry has no field ${field}, but ${names}` };
  }
  const key = named.find(([name]) => name === 'key')?.[1] ?? null;
  const fields = named
    .filter(([name]) => name !== field)
    .flatMap(([name, value]) => [name.replace(/^ce_/, 'ce-'), value.toString('utf8')]);
  return messageEvent(formats[format], { body, fields, key }, position);
}

function namedFields(entry: StreamEntry): [string, Buffer][] {
  const named: [string, Buffer][] = [];
  for (let i = 0; i + 1 < entry.fields.length; i += 2) {
    named.push([entry.fields[i]!.toString('utf8'), entry.fields[i + 1]!]);
  }
  return named;
}
