import type { Change, Data, DataObject } from '../../policies/change.ts';
import { isDataObject } from '../../policies/change.ts';
import { parseExactJson } from './exact-json.ts';
import type { FormatMessage, ParsedMessage } from './format.ts';

/** Debezium's placeholder for a TOAST column without a value in the log: neither NULL nor a value. */
const unavailable = '__debezium_unavailable_value';

const operations: Readonly<Record<string, string>> = {
  c: 'insert',
  r: 'snapshot',
  u: 'update',
  d: 'delete',
  t: 'truncate',
};

/**
 * Format `debezium`: the change envelope in JSON, with or without its schema. `table`, `schema`, `database` and `op`
 * as words can be looked up in addition to the envelope's members. In an update without `before` (Postgres without
 * REPLICA IDENTITY FULL) the message's key holds the known old values. Without a key the old row's other values are
 * unknown.
 */
export function parseDebezium(message: FormatMessage): ParsedMessage {
  // A tombstone without content follows a deletion, for the topic's compaction.
  if (message.body.length === 0) return nothing;
  const parsed = parseExactJson(message.body);
  if (parsed.kind === 'malformed') return { kind: 'unintelligible', reason: parsed.reason };
  const envelope = payloadOf(parsed.data);
  if (envelope === null) return nothing;
  if (!isDataObject(envelope)) return { kind: 'unintelligible', reason: 'expected a change envelope' };
  return readEnvelope(envelope, message.key ?? null);
}

const nothing: ParsedMessage = { kind: 'transaction', changes: [] };

function readEnvelope(envelope: DataObject, key: Uint8Array | null): ParsedMessage {
  if (isMarker(envelope)) return nothing;
  if ('ddl' in envelope || 'tableChanges' in envelope) {
    return { kind: 'unintelligible', reason: 'the schema was changed' };
  }
  const op = envelope['op'];
  // A message that the application wrote into the log.
  if (op === 'm') return nothing;
  const operation = typeof op === 'string' ? operations[op] : undefined;
  if (operation === undefined) return { kind: 'unintelligible', reason: 'the envelope has no known op' };
  return { kind: 'transaction', changes: [changeOf(envelope, operation, key)] };
}

/** The connector's heartbeats, and the markers of transactions. */
function isMarker(envelope: DataObject): boolean {
  if (envelope['status'] === 'BEGIN' || envelope['status'] === 'END') return 'id' in envelope;
  return Object.keys(envelope).length === 1 && 'ts_ms' in envelope;
}

function changeOf(envelope: DataObject, operation: string, key: Uint8Array | null): Change {
  const source = isDataObject(envelope['source']) ? envelope['source'] : {};
  const beforeRow = isDataObject(envelope['before']) ? envelope['before'] : null;
  const keyRow = operation === 'update' && beforeRow === null ? keyOf(key) : null;
  const where: Record<string, Data> = { op: operation };
  for (const [name, member] of [
    ['database', 'db'],
    ['schema', 'schema'],
    ['table', 'table'],
  ] as const) {
    const value = source[member];
    if (value !== undefined) where[name] = value;
  }
  return {
    message: [where, envelope],
    before: keyRow ?? available(beforeRow, null),
    after: available(isDataObject(envelope['after']) ? envelope['after'] : null, beforeRow),
    known: knownOf(operation, keyRow),
  };
}

function knownOf(operation: string, keyRow: DataObject | null): Change['known'] {
  if (operation === 'truncate') return 'no-row';
  return keyRow === null ? 'all' : 'key-of-before';
}

function keyOf(key: Uint8Array | null): DataObject | null {
  if (key === null || key.length === 0) return null;
  const parsed = parseExactJson(key);
  const row = parsed.kind === 'data' ? payloadOf(parsed.data) : null;
  return isDataObject(row) ? row : null;
}

/** The row without placeholders, which are replaced by the old row's values where these are known. */
function available(row: DataObject | null, old: DataObject | null): DataObject | null {
  if (row === null) return null;
  const values: Record<string, Data> = {};
  for (const [name, value] of Object.entries(row)) {
    const known = value === unavailable ? old?.[name] : value;
    if (known !== undefined && known !== unavailable) values[name] = known;
  }
  return values;
}

/** The converter adds `schema` and `payload` if `schemas.enable` is on. */
function payloadOf(data: Data): Data {
  return isDataObject(data) && 'payload' in data && !('op' in data) ? data['payload']! : data;
}
