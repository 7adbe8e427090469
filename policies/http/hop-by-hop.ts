/** RFC 9110 §7.6.1: fields of a single connection, which are neither forwarded nor stored. */
import { fieldValue, hasField, listMembers, withoutFields } from './fields.ts';
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
  if (!hasField(fields, 'connection')) return withoutFields(fields, HOP_BY_HOP);
  const names = new Set(HOP_BY_HOP);
  for (const member of listMembers(fields, 'connection')) {
    const name = member.toLowerCase();
    if (!NEVER_NAMED.has(name)) names.add(name);
  }
  return withoutFields(fields, names);
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
