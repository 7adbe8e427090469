/**
 * Accept-Encoding reduced to what the origin's variants can tell apart: a client that offers fewer codings than the
 * stored variant's own, the chosen one among them, would have been given the same (RFC 9110 §12.5.3, RFC 9111 §4.1).
 */
import { fieldValue, listMembers, trimmed } from '../http/fields.ts';
import type { StoredMeta } from '../model.ts';

export interface WeightedMember {
  readonly text: string;
  readonly weight: number;
}

/** A member and its weight. A malformed weight stays in the text, so that it matches itself alone. */
export function weighted(member: string): WeightedMember {
  const semicolon = member.indexOf(';');
  const weight = semicolon < 0 ? null : WEIGHT.exec(trimmed(member.slice(semicolon + 1)));
  if (!weight) return { text: member, weight: 1 };
  return { text: trimmed(member.slice(0, semicolon)), weight: Number(weight[1]) };
}

const WEIGHT = /^q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/;

/**
 * Whether the entry, which answered `storedValue`, is what the origin would choose for a client that offers these
 * codings: the client takes its coding and offers nothing that was not offered then. Weights are not compared: with any,
 * only equal values match.
 */
export function acceptsCodingOf(meta: StoredMeta, storedValue: string, offered: Codings | null): boolean {
  if (offered === null) return false;
  const offeredThen = storedCodings(meta, storedValue);
  if (offeredThen === null) return false;
  for (const coding of offered) if (!offeredThen.has(coding)) return false;
  const coding = trimmed(fieldValue(meta.fields, 'content-encoding') ?? 'identity').toLowerCase();
  return coding === 'identity' || offered.has(canonical(coding));
}

/** Whether the request says itself that it takes the entry's coding; no coding at all needs no word. */
export function namesCodingOf(meta: StoredMeta, value: string | undefined): boolean {
  const codings = listMembers(meta.fields, 'content-encoding').map((coding) => coding.toLowerCase());
  const named = new Map(
    (value ?? '').split(',').map((member) => {
      const { text, weight } = weighted(trimmed(member).toLowerCase());
      return [canonical(text), weight];
    }),
  );
  return codings.every((coding) => coding === 'identity' || (named.get(canonical(coding)) ?? 0) > 0);
}

export type Codings = ReadonlySet<string>;

/** More than are registered. A longer list is compared as a whole alone. */
const MAX_CODINGS = 32;

/** The codings, or null where there is none, a weight or a wildcard, or where there are more than anybody has. */
export function plainCodings(value: string): Codings | null {
  const members = value.split(',', MAX_CODINGS + 1);
  if (members.length > MAX_CODINGS) return null;
  const codings = new Set<string>();
  for (const member of members) {
    const coding = trimmed(member).toLowerCase();
    if (coding === '') continue;
    if (coding.includes(';') || coding === '*') return null;
    codings.add(canonical(coding));
  }
  return codings.size > 0 ? codings : null;
}

/** What each stored response's request offered: read once, not for every request that is compared with it. */
const offers = new WeakMap<StoredMeta, Codings | null>();

function storedCodings(meta: StoredMeta, storedValue: string): Codings | null {
  const known = offers.get(meta);
  if (known !== undefined) return known;
  const codings = plainCodings(storedValue);
  offers.set(meta, codings);
  return codings;
}

/** RFC 9110 §8.4.1: x-gzip and x-compress are the same as the names without. */
function canonical(coding: string): string {
  return coding === 'x-gzip' || coding === 'x-compress' ? coding.slice(2) : coding;
}
