/** RFC 9111 §4.3: validating stored responses with the origin, and updating them by its response. */
import type { RouteCacheConfig } from '../config/config.ts';
import { etagsMatchStrongly, etagsMatchWeakly, isWeakEtag } from '../http/etags.ts';
import { fieldValue, fieldValues, hasField, trimmed, withoutFields } from '../http/fields.ts';
import type { Fields } from '../http/fields.ts';
import { endToEnd } from '../http/hop-by-hop.ts';
import type { NotStoredReason, RequestView, StoredMeta, StoringDecision } from '../model.ts';
import { dateValueMs } from './freshness.ts';
import { decideKeeping, validatorsOf } from './storing.ts';
import { varyOf } from './vary.ts';

/** The entries that one conditional request can validate. */
export interface AskedAbout<T> {
  readonly own: readonly T[];
  readonly others: readonly T[];
  /** The number of entity tags that did not fit. */
  readonly leftOut: number;
}

type ConditionBounds = Pick<RouteCacheConfig, 'maxConditionBytes' | 'maxConditionTags'>;

/**
 * §4.3.1: the entries whose tags fit into one If-None-Match: first those that could have answered the request
 * (`own`), then those stored for other requests, the newest first. An entry that does not fit is not validated by
 * this request.
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
 * Whether the status may be caused by the conditions that Weir added to the request (`conditions`), so that it has to
 * be sent again without them. Origins reject a too large head with 400, 413 or 431. Weir adds no condition to which
 * 412 is a correct response. The range of a stored part may lie outside the current content.
 */
export function mayBeDueTo(conditions: Fields, status: number): boolean {
  if (conditions.length === 0) return false;
  return REFUSALS.has(status) || (status === 416 && hasField(conditions, 'range'));
}

const REFUSALS: ReadonlySet<number> = new Set([400, 412, 413, 431]);

/**
 * §4.3.1: the precondition of a validation: the entity tags of all entries, and the Last-Modified of a single one.
 * With a tag, only a strong date is sent: an origin that evaluates dates alone could otherwise confirm an invalidated
 * entry. A part is validated alone, with the range that it answers (§4.3.2).
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
 * §4.3.4: the index of the validated entry that a 304 confirms; null: none. A strong validator must equal the
 * entry's; a weak one selects the newest entry that has it; without a validator the 304 confirms the only entry that
 * was validated.
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

/** The validated entry that a 304 confirms. */
export type Confirmation =
  /** An entry that could have answered the request itself. */
  | { readonly kind: 'own'; readonly index: number }
  /** An entry stored for another request, whose content also answers this request. */
  | { readonly kind: 'other'; readonly index: number }
  | { readonly kind: 'none' };

/**
 * §4.1 and §4.3.4: a 304 confirms only entries that could have been selected for the request (`own`). Of those stored
 * for other requests (`others`) only a strong tag selects one, because it identifies the exact bytes; a weak tag may
 * cover every coding of them.
 */
export function decideConfirmation(
  fields: Fields,
  own: readonly StoredMeta[],
  others: readonly StoredMeta[],
): Confirmation {
  const etag = etagOf(fields);
  const isStrong = etag !== null && !isWeakEtag(etag);
  // Without a validator a 304 refers to the only validated entry; here there may be several.
  const index = others.length > 0 && !hasValidator(fields) ? null : selectOwn(fields, own, others);
  if (index !== null) {
    // Fields that the 304 adds to Vary may have had other values in the stored entry's request.
    const isSure = isStrong || !changesVary(own[index]!, fields);
    return isSure ? { kind: 'own', index } : NONE;
  }
  const other = isStrong ? newest(others, (entry) => entry.etag === etag) : null;
  return other === null ? NONE : { kind: 'other', index: other };
}

const NONE: Confirmation = { kind: 'none' };

/**
 * Servers that weaken the tag of compressed content may send the strong tag in a 304. If only one tag was sent, the
 * 304 can't refer to another.
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
 * §3.2, §4.1: the entry stored for another request as the response to this one, after a 304 with its strong tag.
 * Fields that describe the content are taken from the entry; all others may differ between the two requests and must
 * be in the 304. Null: the 304 omits one of them.
 */
export function adopt(meta: StoredMeta, update: Update): StoringDecision | null {
  const news = withoutFields(endToEnd(update.fields), NOT_UPDATED);
  const brought = namesOf(news);
  for (const name of namesOf(meta.fields)) if (!brought.has(name) && !OF_CONTENT.has(name)) return null;
  const others = new Set([...namesOf(meta.fields)].filter((name) => !OF_CONTENT.has(name)));
  const fields = [...withoutFields(meta.fields, new Set([...others, ...brought, 'date'])), ...news];
  return decideKeeping({ ...update, status: meta.status, fields }, null);
}

/** Fields that describe the content and may be missing in a 304. Vary may not, but some servers omit it. */
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

/** A response by which a stored one is updated. */
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
 * §3.2: the entry with the 304's fields. `not`: it may not be stored any longer, so the caller outdates it
 * and asks again without conditions. The reason `request-no-store` concerns only the 304: the entry stays as it was (§5.2.1.5). Tags are
 * added, never removed.
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
      // RFC 9110 §8.8.2.2: strength depends on the Date sent with the content. A later Date says nothing about
      // changes within that second.
      lastModifiedStrong: meta.lastModifiedStrong && decision.meta.lastModifiedStrong,
      responseTags: [...new Set([...meta.responseTags, ...decision.meta.responseTags])],
    },
  };
}

/** §4.3.5: the meaning of the response to a HEAD for the entry of the GET. */
export type HeadVerdict =
  | { readonly kind: 'freshened'; readonly meta: StoredMeta }
  /** The representation has changed, or a GET would not give it or could not be stored. */
  | { readonly kind: 'invalid'; readonly because: 'differs' | 'status' | 'unkept' }
  /** An error that says nothing about the entry. */
  | { readonly kind: 'unchanged' };

/** `sizeBytes` is the size of the stored content; -1: known only from its fields. */
export function freshenByHead(meta: StoredMeta, status: number, update: Update, sizeBytes = -1): HeadVerdict {
  // Other errors concern the request or the server, not the resource.
  if (status === 304 || (status >= 400 && status !== 404 && status !== 410)) return { kind: 'unchanged' };
  if (status !== (meta.part === null ? meta.status : 200)) return { kind: 'invalid', because: 'status' };
  const isSame = sameRepresentation(meta, sizeBytes, update.fields);
  const decision = freshen(meta, update);
  if (decision.kind === 'not') {
    if (OF_THE_REQUEST.has(decision.reason) && isSame) return { kind: 'unchanged' };
    return { kind: 'invalid', because: 'unkept' };
  }
  // Fields that the response adds to Vary may have had other values in the stored entry's request.
  if (!isSame || (changesVary(meta, update.fields) && !hasStrongTagOf(meta, update.fields))) {
    return { kind: 'invalid', because: 'differs' };
  }
  return { kind: 'freshened', meta: decision.meta };
}

/** Reasons for not storing that concern the request, not the resource. */
const OF_THE_REQUEST: ReadonlySet<NotStoredReason> = new Set(['authorization', 'request-no-store']);

function hasStrongTagOf(meta: StoredMeta, fields: Fields): boolean {
  const etag = etagOf(fields);
  return etag !== null && meta.etag !== null && etagsMatchStrongly(etag, meta.etag);
}

/**
 * Fields that a 304 does not update: Content-Length, and those that describe the stored content (§3.2), for which
 * some servers send defaults of a message without content. Set-Cookie is for one client, and no reason to drop
 * content that the 304 confirms.
 */
const NOT_UPDATED: ReadonlySet<string> = new Set([
  'content-digest',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'set-cookie',
]);

/** Each field of the response replaces all lines of that name. A missing Date becomes the time of receipt. */
function updatedFields(meta: StoredMeta, update: Update): string[] {
  const kept = keepsEtag(meta, update.fields) ? new Set([...NOT_UPDATED, 'etag']) : NOT_UPDATED;
  const news = withoutFields(endToEnd(update.fields), kept);
  const replaced = new Set(['date']);
  for (let i = 0; i < news.length; i += 2) replaced.add(news[i]!.toLowerCase());
  return [...withoutFields(meta.fields, replaced), ...news];
}

/** Some servers weaken the tag of compressed content, so a strong tag identifies the content without its coding. */
function keepsEtag(meta: StoredMeta, fields: Fields): boolean {
  const etag = etagOf(fields);
  return etag !== null && !isWeakEtag(etag) && meta.etag !== null && isWeakEtag(meta.etag);
}

/** A field that is missing in the response to HEAD proves nothing; one that differs proves a change. */
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

/** A length in another coding says nothing: some servers don't apply content codings to HEAD. */
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
