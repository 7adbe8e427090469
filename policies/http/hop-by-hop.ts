/** RFC 9110 §7.6.1: fields of a single connection, which are neither forwarded nor stored. */
import { fieldValue, hasField, listMembers, lowerName } from './fields.ts';
import type { Fields } from './fields.ts';

const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

/** `name` is in lower case. */
export function isHopByHop(name: string): boolean {
  return HOP_BY_HOP.has(name);
}

/** Connection can't remove these fields: a client could otherwise remove what the response depends on. */
const NEVER_NAMED: ReadonlySet<string> = new Set([
  'age',
  'authorization',
  'cache-control',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'date',
  'host',
  'set-cookie',
  'vary',
]);

/** The fields without hop-by-hop ones: those of the specification, and those that Connection names. */
export function endToEnd(fields: Fields): string[] {
  return endToEndWithout(fields, NO_NAMES);
}

/** `endToEnd` without those whose lower-case name is in `left`. */
export function endToEndWithout(fields: Fields, left: ReadonlySet<string>): string[] {
  const named = namedByConnection(fields);
  const kept: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = lowerName(fields[i]!);
    if (HOP_BY_HOP.has(name) || left.has(name) || named.has(name)) continue;
    kept.push(fields[i]!, fields[i + 1]!);
  }
  return kept;
}

const NO_NAMES: ReadonlySet<string> = new Set();

function namedByConnection(fields: Fields): ReadonlySet<string> {
  const connection = fieldValue(fields, 'connection');
  if (connection === undefined || PERSISTENCE.test(connection)) return NO_NAMES;
  const names = listMembers(fields, 'connection').map((member) => member.toLowerCase());
  return new Set(names.filter((name) => !NEVER_NAMED.has(name)));
}

/** Whether Connection names fields that the specification does not remove anyway. */
export function namesOthers(fields: Fields): boolean {
  const connection = fieldValue(fields, 'connection');
  if (connection === undefined || PERSISTENCE.test(connection)) return false;
  return listMembers(fields, 'connection').some((member) => {
    const name = member.toLowerCase();
    return !HOP_BY_HOP.has(name) && !NEVER_NAMED.has(name) && hasField(fields, name);
  });
}

const PERSISTENCE = /^(?:keep-alive|close)$/i;
