/**
 * Accept-Encoding reduced to what the origin's variants can tell apart: a client that offers fewer codings than the
 * stored variant's own, the chosen one among them, would have been given the same (RFC 9110 §12.5.3, RFC 9111 §4.1).
 */
import { fieldValue, listMembers } from '../http/fields.ts';
import type { StoredMeta } from '../model.ts';

export interface WeightedMember {
  readonly text: string;
  readonly weight: number;
}

/** A member and its weight. A malformed weight stays in the text, so that it matches itself alone. */
export function weighted(member: string): WeightedMember {
  const match = /^([^;]*?)[ \t]*;[ \t]*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.exec(member);
  return match ? { text: match[1]!, weight: Number(match[2]) } : { text: member, weight: 1 };
}

/**
 * Whether the entry, which answered `storedValue`, is what the origin would choose for `value`: the client takes its
 * coding and offers nothing that was not offered then. Weights are not compared: with any, only equal values match.
 */
export function acceptsCodingOf(meta: StoredMeta, storedValue: string, value: string): boolean {
  const offered = plainCodings(value);
  const offeredThen = plainCodings(storedValue);
  if (offered === null || offeredThen === null) return false;
  for (const coding of offered) if (!offeredThen.has(coding)) return false;
  const coding = fieldValue(meta.fields, 'content-encoding')?.trim().toLowerCase() ?? 'identity';
  return coding === 'identity' || offered.has(canonical(coding));
}

/** Whether the request says itself that it takes the entry's coding; no coding at all needs no word. */
export function namesCodingOf(meta: StoredMeta, value: string | undefined): boolean {
  const codings = listMembers(meta.fields, 'content-encoding').map((coding) => coding.toLowerCase());
  const named = new Map(
    (value ?? '').split(',').map((member) => {
      const { text, weight } = weighted(member.trim().toLowerCase());
      return [canonical(text), weight];
    }),
  );
  return codings.every((coding) => coding === 'identity' || (named.get(canonical(coding)) ?? 0) > 0);
}

/** The codings, or null where there is none, a weight or a wildcard. */
function plainCodings(value: string): Set<string> | null {
  const codings = new Set<string>();
  for (const member of value.split(',')) {
    const coding = member.trim().toLowerCase();
    if (coding === '') continue;
    if (coding.includes(';') || coding === '*') return null;
    codings.add(canonical(coding));
  }
  return codings.size > 0 ? codings : null;
}

/** RFC 9110 §8.4.1: x-gzip and x-compress are the same as the names without. */
function canonical(coding: string): string {
  return coding === 'x-gzip' || coding === 'x-compress' ? coding.slice(2) : coding;
}
