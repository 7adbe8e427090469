import { RedisFault } from './fault.ts';
import type { StreamEntry, RedisStreamState } from './position.ts';

/** Reads the reply of `XINFO STREAM`: names and values in turn. */
export function readStreamState(reply: unknown): RedisStreamState {
  const values = mapOf(reply);
  if (!values.has('entries-added') || !values.has('recorded-first-entry-id')) {
    throw new RedisFault(
      'protocol',
      'the server is older than Redis 7, which is needed to prove that nothing was missed',
    );
  }
  return {
    lastId: textAt(values, 'last-generated-id'),
    added: numberAt(values, 'entries-added'),
    length: numberAt(values, 'length'),
    firstId: textAt(values, 'recorded-first-entry-id'),
    maxDeletedId: textAt(values, 'max-deleted-entry-id'),
    lastEntry: readEntry(values.get('last-entry')),
  };
}

/** Reads the reply of `XRANGE`. */
export function readEntries(reply: unknown): StreamEntry[] {
  return arrayOf(reply).map((item) => readEntry(item) ?? refuse());
}

/** Null where there is none. */
function readEntry(reply: unknown): StreamEntry | null {
  if (reply === null || reply === undefined) return null;
  const [id, fields] = arrayOf(reply);
  return { id: textOf(id), fields: arrayOf(fields).map(bytesOf) };
}

/** The role in the reply of `HELLO`, such as `master` or `replica`; null: it has none. */
export function readRole(reply: unknown): string | null {
  const role = mapOf(reply).get('role');
  return role === undefined ? null : textOf(role);
}

function mapOf(reply: unknown): Map<string, unknown> {
  const items = arrayOf(reply);
  const values = new Map<string, unknown>();
  for (let i = 0; i + 1 < items.length; i += 2) values.set(textOf(items[i]), items[i + 1]);
  return values;
}

function textAt(values: ReadonlyMap<string, unknown>, name: string): string {
  return textOf(values.get(name));
}

function numberAt(values: ReadonlyMap<string, unknown>, name: string): number {
  const value = values.get(name);
  if (typeof value !== 'number') throw unexpected();
  return value;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : bytesOf(value).toString('utf8');
}

function bytesOf(value: unknown): Buffer {
  if (!Buffer.isBuffer(value)) throw unexpected();
  return value;
}

/** The elements of a transaction's reply. Throws the first command's error, if one failed. */
export function arrayOf(reply: unknown): readonly unknown[] {
  if (!Array.isArray(reply)) throw reply instanceof Error ? reply : unexpected();
  const failed: unknown = reply.find((item) => item instanceof Error);
  if (failed !== undefined) throw failed;
  return reply;
}

function refuse(): never {
  throw unexpected();
}

function unexpected(): RedisFault {
  return new RedisFault('protocol', 'the server sent a reply that Redis does not send');
}
