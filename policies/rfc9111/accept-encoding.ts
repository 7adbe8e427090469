/**
 * RFC 9111 §4.1 and RFC 9110 §12.5.3: matching Accept-Encoding by what the origin's selection depends on. A client
 * that offers a subset of the codings of the stored request, the selected one among them, would have received the
 * same response.
 */
import { fieldValue, listMembers, trimmed } from '../http/fields.ts';
import type { StoredMeta } from '../model.ts';

export interface WeightedMember {
  readonly text: string;
  readonly weight: number;
}

/**
 * A list member and its weight (RFC 9110 §12.4.2). A malformed weight stays in the text, so the member matches only
 * itself.
 */
export function weighted(member: string): WeightedMember {
  const semicolon = member.indexOf(';');
  const weight = semicolon < 0 ? null : WEIGHT.exec(trimmed(member.slice(semicolon + 1)));
  if (!weight) return { text: member, weight: 1 };
  return { text: trimmed(member.slice(0, semicolon)), weight: Number(weight[1]) };
}

const WEIGHT = /^q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/;

/**
 * Whether the origin would select this entry, which was stored for `storedValue`, for a client that offers these
 * codings: the client accepts the entry's coding and offers none that the stored request did not offer. Values with
 * weights are not compared; they match only if equal.
 */
export function acceptsCodingOf(meta: StoredMeta, storedValue: string, offered: Codings | null): boolean {
  if (offered === null) return false;
  const offeredThen = storedCodings(meta, storedValue);
  if (offeredThen === null) return false;
  for (const coding of offered) if (!offeredThen.has(coding)) return false;
  const coding = trimmed(fieldValue(meta.fields, 'content-encoding') ?? 'identity').toLowerCase();
  return coding === 'identity' || offered.has(canonical(coding));
}

/**
 * Whether the field names the entry's content coding as acceptable. Content without a coding is always acceptable.
 */
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

/** More than are registered. A longer list matches only as a whole. */
const MAX_CODINGS = 32;

/**
 * The codings in canonical form; null where the list is empty, has a weight or a wildcard, or is longer than
 * `MAX_CODINGS`.
 */
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

/** The codings that each entry's request offered, parsed once instead of for each comparison. */
const offers = new WeakMap<StoredMeta, Codings | null>();

function storedCodings(meta: StoredMeta, storedValue: string): Codings | null {
  const known = offers.get(meta);
  if (known !== undefined) return known;
  const codings = plainCodings(storedValue);
  offers.set(meta, codings);
  return codings;
}

/** RFC 9110 §8.4.1: x-gzip and x-compress are aliases of gzip and compress. */
function canonical(coding: string): string {
  return coding === 'x-gzip' || coding === 'x-compress' ? coding.slice(2) : coding;
}
