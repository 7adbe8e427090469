/** Fields that concern one connection alone and are neither forwarded nor stored, RFC 9110 §7.6.1. */
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

/** By its name in lower case. */
export function isHopByHop(name: string): boolean {
  return HOP_BY_HOP.has(name);
}

/** Naming one of these in Connection does not take it away: a client could else strip what the answer rests on. */
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

/** The fields without those for this hop: the ones of the specification, and those that Connection names. */
export function endToEnd(fields: Fields): string[] {
  if (!hasField(fields, 'connection')) return withoutFields(fields, HOP_BY_HOP);
  const names = new Set(HOP_BY_HOP);
  for (const member of listMembers(fields, 'connection')) {
    const name = member.toLowerCase();
    if (!NEVER_NAMED.has(name)) names.add(name);
  }
  return withoutFields(fields, names);
}

/** Whether Connection takes away more of these fields than the specification does. */
export function namesOthers(fields: Fields): boolean {
  const connection = fieldValue(fields, 'connection');
  if (connection === undefined || PERSISTENCE.test(connection)) return false;
  return listMembers(fields, 'connection').some((member) => {
    const name = member.toLowerCase();
    return !HOP_BY_HOP.has(name) && !NEVER_NAMED.has(name) && hasField(fields, name);
  });
}

const PERSISTENCE = /^(?:keep-alive|close)$/i;
