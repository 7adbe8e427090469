/** RFC 9111 §4.3: asking the origin whether stored responses are still good, and what its answer makes of them. */
import type { RouteCacheConfig } from '../config/config.ts';
import { etagsMatchStrongly, etagsMatchWeakly, isWeakEtag } from '../http/etags.ts';
import { fieldValue, fieldValues, hasField, trimmed, withoutFields } from '../http/fields.ts';
import type { Fields } from '../http/fields.ts';
import { endToEnd } from '../http/hop-by-hop.ts';
import type { NotStoredReason, RequestView, StoredMeta, StoringDecision } from '../model.ts';
import { dateValueMs } from './freshness.ts';
import { decideKeeping, validatorsOf } from './storing.ts';
import { varyOf } from './vary.ts';

/** What a request can ask about within the bounds of its conditions. */
export interface AskedAbout<T> {
  readonly own: readonly T[];
  readonly others: readonly T[];
  /** Entity tags that have no room. */
  readonly leftOut: number;
}

type ConditionBounds = Pick<RouteCacheConfig, 'maxConditionBytes' | 'maxConditionTags'>;

/**
 * §4.3.1: those of the entries whose tags have room in one field: first what could have answered the request itself (`own`),
 * then what is stored for other requests, the newest first. What has no room is as good as not stored for this request.
 */
export function decideAskedAbout<T extends { readonly meta: StoredMeta }>(
  own: readonly T[],
  others: readonly T[],
  bounds: ConditionBounds,
): AskedAbout<T> {
  const tags = new Set<string>();
  const leftOut = new Set<string>();
  let bytes = 0;
  const hasRoom = ({ meta: { etag } }: T): boolean => {
    if (etag === null || tags.has(etag)) return true;
    const more = etag.length + (tags.size === 0 ? 0 : SEPARATOR.length);
    if (tags.size === bounds.maxConditionTags || bytes + more > bounds.maxConditionBytes) {
      leftOut.add(etag);
      return false;
    }
    tags.add(etag);
    bytes += more;
    return true;
  };
  const asked = [own, others].map((entries) => entries.toSorted(newestFirst).filter(hasRoom));
  return { own: asked[0]!, others: asked[1]!, leftOut: leftOut.size };
}

const SEPARATOR = ', ';

function newestFirst(a: { readonly meta: StoredMeta }, b: { readonly meta: StoredMeta }): number {
  return b.meta.responseTimeMs - a.meta.responseTimeMs;
}

/**
 * Whether an answer may be due to the conditions that Weir has added to a request (`conditions`), so that the request has to be
 * sent again without them. Origins refuse a head that is too large by 400, 413 or 431; no GET of Weir's own bears a condition
 * for which 412 is the right answer; and the range of a stored part may lie outside the content of today.
 */
export function mayBeDueTo(conditions: Fields, status: number): boolean {
  if (conditions.length === 0) return false;
  return REFUSALS.has(status) || (status === 416 && hasField(conditions, 'range'));
}

const REFUSALS: ReadonlySet<number> = new Set([400, 412, 413, 431]);

/**
 * §4.3.1: the precondition for a validation: the entity tags of all entries, and the date of an entry alone. Beside a tag
 * only a strong date is sent: an origin that looks at dates alone could else confirm what an invalidation has put in
 * doubt. A part counts only alone, with the range that it answers (§4.3.2).
 */
export function validationFields(entries: readonly StoredMeta[]): Fields {
  const asked = entries.length > 1 ? entries.filter(({ part }) => part === null) : entries;
  const etags = new Set(asked.map(({ etag }) => etag).filter((etag) => etag !== null));
  const fields = etags.size > 0 ? ['If-None-Match', [...etags].join(SEPARATOR)] : [];
  const [only, ...others] = asked;
  if (only === undefined || only.lastModifiedMs === null || others.length > 0) return fields;
  const lastModified = fieldValue(only.fields, 'last-modified');
  if (lastModified === undefined || (etags.size > 0 && !only.lastModifiedStrong)) return fields;
  return [...fields, 'If-Modified-Since', lastModified];
}

/**
 * §4.3.4: which of the entries that were asked about a 304 confirms. A strong validator must be an entry's own; a weak
 * one picks the newest that has it; without any, the entry alone that was asked about.
 */
export function selectByNotModified(fields: Fields, entries: readonly StoredMeta[]): number | null {
  const receivedAtMs = entries[0]?.responseTimeMs ?? 0;
  const { etag, lastModifiedMs } = validatorsOf(fields, dateValueMs(fields, receivedAtMs));
  if (etag !== null && !isWeakEtag(etag)) return newest(entries, (entry) => entry.etag === etag);
  if (etag !== null) {
    return newest(entries, (entry) => entry.etag !== null && etagsMatchWeakly(entry.etag, etag));
  }
  if (lastModifiedMs !== null) return newest(entries, (entry) => entry.lastModifiedMs === lastModifiedMs);
  return entries.length === 1 ? 0 : null;
}

/** What a 304 says of what was asked about. */
export type Confirmation =
  /** Of those that could have answered the request themselves, this one is still right. */
  | { readonly kind: 'own'; readonly index: number }
  /** Of those of other requests, this one has the content that answers this one, too. */
  | { readonly kind: 'other'; readonly index: number }
  /** Nothing that is known here. */
  | { readonly kind: 'none' };

/**
 * §4.3.4 with §4.1: a 304 confirms only what could have been chosen for the request (`own`). Those stored for other
 * requests (`others`) it picks by a strong tag alone, which names the very bytes; a weak one may name every coding of them.
 */
export function decideConfirmation(
  fields: Fields,
  own: readonly StoredMeta[],
  others: readonly StoredMeta[],
): Confirmation {
  const etag = etagOf(fields);
  const isStrong = etag !== null && !isWeakEtag(etag);
  // Without a validator it names the one that was asked about, which may be any of several here.
  const index = others.length > 0 && !hasValidator(fields) ? null : selectOwn(fields, own, others);
  if (index !== null) {
    // What it adds to Vary the stored one's own request may have had otherwise.
    const isSure = isStrong || !changesVary(own[index]!, fields);
    return isSure ? { kind: 'own', index } : NONE;
  }
  const other = isStrong ? newest(others, (entry) => entry.etag === etag) : null;
  return other === null ? NONE : { kind: 'other', index: other };
}

const NONE: Confirmation = { kind: 'none' };

/**
 * Servers that weaken the tag of what they compress send a 304 with the strong one. Where a single tag was asked about, the
 * answer can be about no other.
 */
function selectOwn(fields: Fields, own: readonly StoredMeta[], others: readonly StoredMeta[]): number | null {
  const selected = selectByNotModified(fields, own);
  const [only] = own;
  if (selected !== null || only === undefined || own.length + others.length > 1) return selected;
  const etag = etagOf(fields);
  const isWeakened = only.etag !== null && isWeakEtag(only.etag) && etag !== null;
  return isWeakened && etagsMatchWeakly(only.etag, etag) ? 0 : null;
}

function etagOf(fields: Fields): string | null {
  return validatorsOf(fields, 0).etag;
}

function hasValidator(fields: Fields): boolean {
  const { etag, lastModifiedMs } = validatorsOf(fields, 0);
  return etag !== null || lastModifiedMs !== null;
}

function changesVary(meta: StoredMeta, fields: Fields): boolean {
  if (!hasField(fields, 'vary')) return false;
  const vary = varyOf(fields);
  return vary.kind === 'star' || vary.names.join() !== meta.vary.join();
}

/**
 * §3.2, §4.1: what is stored for another request, as the answer to this one, where a 304 says by a strong tag that its
 * content is. What describes the content comes with it; all else may differ between the two, and has to be in the 304. Null:
 * the 304 leaves some of that out.
 */
export function adopt(meta: StoredMeta, update: Update): StoringDecision | null {
  const news = withoutFields(endToEnd(update.fields), NOT_UPDATED);
  const brought = namesOf(news);
  for (const name of namesOf(meta.fields)) if (!brought.has(name) && !OF_CONTENT.has(name)) return null;
  const others = new Set([...namesOf(meta.fields)].filter((name) => !OF_CONTENT.has(name)));
  const fields = [...withoutFields(meta.fields, new Set([...others, ...brought, 'date'])), ...news];
  return decideKeeping({ ...update, status: meta.status, fields }, null);
}

/** What belongs to the content, and may be left out of a 304. Vary must not be, and is by some. */
const OF_CONTENT: ReadonlySet<string> = new Set([
  'accept-ranges',
  'content-digest',
  'content-encoding',
  'content-language',
  'content-length',
  'content-md5',
  'content-type',
  'date',
  'etag',
  'last-modified',
  'repr-digest',
  'vary',
]);

function namesOf(fields: Fields): Set<string> {
  return new Set(fields.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase()));
}

/** An answer by which a stored response is brought up to date. */
export interface Update {
  readonly request: RequestView;
  readonly fields: Fields;
  readonly requestTimeMs: number;
  readonly responseTimeMs: number;
  readonly receiptMs?: number;
  readonly policy: RouteCacheConfig;
  readonly authority: string;
}

/**
 * §3.2: the entry with the 304's fields. `not`: it may not be kept as it is now; it is still the answer to the request
 * that was asked for. Where the reason is `request-no-store`, it is the 304 that must leave no trace, and the entry
 * stays as it was (§5.2.1.5). Tags are added, never taken away.
 */
export function freshen(meta: StoredMeta, update: Update): StoringDecision {
  const received = {
    ...update,
    request: { ...update.request, method: 'GET' },
    status: meta.status,
    fields: updatedFields(meta, update),
  };
  const decision = decideKeeping(received, meta.part, meta);
  if (decision.kind === 'not') return decision;
  return {
    kind: 'store',
    meta: {
      ...decision.meta,
      // RFC 9110 §8.8.2.2: of the content when it was sent. A later Date says nothing of what changed in that second.
      lastModifiedStrong: meta.lastModifiedStrong && decision.meta.lastModifiedStrong,
      responseTags: [...new Set([...meta.responseTags, ...decision.meta.responseTags])],
    },
  };
}

/** §4.3.5: what the answer to a HEAD says of the GET's entry. */
export type HeadVerdict =
  | { readonly kind: 'freshened'; readonly meta: StoredMeta }
  /** Not the same representation any more; or the answer to a GET would not be, or not be stored. */
  | { readonly kind: 'invalid'; readonly because: 'differs' | 'status' | 'unkept' }
  /** An error that says nothing of it. */
  | { readonly kind: 'unchanged' };

/** `sizeBytes`: of the stored content; -1: not known but from its fields. */
export function freshenByHead(meta: StoredMeta, status: number, update: Update, sizeBytes = -1): HeadVerdict {
  // Errors other than these speak of the request or of the server, not of the resource.
  if (status === 304 || (status >= 400 && status !== 404 && status !== 410)) return { kind: 'unchanged' };
  if (status !== (meta.part === null ? meta.status : 200)) return { kind: 'invalid', because: 'status' };
  const isSame = sameRepresentation(meta, sizeBytes, update.fields);
  const decision = freshen(meta, update);
  if (decision.kind === 'not') {
    if (OF_THE_REQUEST.has(decision.reason) && isSame) return { kind: 'unchanged' };
    return { kind: 'invalid', because: 'unkept' };
  }
  // What it adds to Vary the stored one's own request may have had otherwise.
  if (!isSame || (changesVary(meta, update.fields) && !hasStrongTagOf(meta, update.fields))) {
    return { kind: 'invalid', because: 'differs' };
  }
  return { kind: 'freshened', meta: decision.meta };
}

/** Why an answer may not be kept for what its request has, whatever may be said of the resource. */
const OF_THE_REQUEST: ReadonlySet<NotStoredReason> = new Set(['authorization', 'request-no-store']);

function hasStrongTagOf(meta: StoredMeta, fields: Fields): boolean {
  const etag = etagOf(fields);
  return etag !== null && meta.etag !== null && etagsMatchStrongly(etag, meta.etag);
}

/**
 * What a 304 does not change although it may bring it: Content-Length, and the fields on which the stored content depends
 * (§3.2). Servers are known to put their defaults for a message without content there. A cookie is for one client alone,
 * and no reason to forget content that the 304 says is unchanged.
 */
const NOT_UPDATED: ReadonlySet<string> = new Set([
  'content-digest',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'set-cookie',
]);

/** Each field of the answer replaces all lines of that name. Date is the answer's, or else the time of receipt. */
function updatedFields(meta: StoredMeta, update: Update): string[] {
  const kept = keepsEtag(meta, update.fields) ? new Set([...NOT_UPDATED, 'etag']) : NOT_UPDATED;
  const news = withoutFields(endToEnd(update.fields), kept);
  const replaced = new Set(['date']);
  for (let i = 0; i < news.length; i += 2) replaced.add(news[i]!.toLowerCase());
  return [...withoutFields(meta.fields, replaced), ...news];
}

/** A strong tag is that of content without the coding for which the stored one was weakened. */
function keepsEtag(meta: StoredMeta, fields: Fields): boolean {
  const etag = etagOf(fields);
  return etag !== null && !isWeakEtag(etag) && meta.etag !== null && isWeakEtag(meta.etag);
}

/** A field that the HEAD's answer leaves out proves nothing; one that differs does. */
function sameRepresentation(meta: StoredMeta, sizeBytes: number, received: Fields): boolean {
  const etags = fieldValues(received, 'etag');
  const stored = fieldValues(meta.fields, 'etag');
  const { etag } = meta;
  const isTagged = etags.length === 1 && etag !== null && etagsMatchWeakly(trimmed(etags[0]!), etag);
  if (etags.length > 0 && !isTagged && etags.join() !== stored.join()) return false;
  const dates = fieldValues(received, 'last-modified');
  if (dates.length > 0 && dates.join() !== fieldValues(meta.fields, 'last-modified').join()) return false;
  return isOfLength(meta, sizeBytes, received);
}

/** The length in another coding says nothing; servers are known not to code what they only tell the length of. */
function isOfLength(meta: StoredMeta, sizeBytes: number, received: Fields): boolean {
  const lengths = fieldValues(received, 'content-length');
  const coding = (fields: Fields) => fieldValues(fields, 'content-encoding').join().toLowerCase();
  if (lengths.length === 0 || coding(received) !== coding(meta.fields)) return true;
  const known = meta.part === null ? sizeBytes : (meta.part.completeBytes ?? -1);
  if (known < 0)
    return meta.part !== null || lengths.join() === fieldValues(meta.fields, 'content-length').join();
  return lengths.every((length) => trimmed(length) === String(known));
}

function newest(entries: readonly StoredMeta[], matches: (entry: StoredMeta) => boolean): number | null {
  let best: number | null = null;
  for (let i = 0; i < entries.length; i++) {
    if (matches(entries[i]!) && (best === null || entries[i]!.dateMs > entries[best]!.dateMs)) best = i;
  }
  return best;
}
