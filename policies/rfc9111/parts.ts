/** RFC 9111 §3.3 and §3.4: partial responses, what they are parts of, and which may be put together. */
import { etagsMatchStrongly } from '../http/etags.ts';
import { fieldValues, hasField, withoutFields } from '../http/fields.ts';
import type { Fields } from '../http/fields.ts';
import type { RequestView, StoredMeta } from '../model.ts';
import { ifRangeHolds, parseByteRanges } from '../rfc9110/ranges.ts';

export type StoredPart = NonNullable<StoredMeta['part']>;

const CONTENT_RANGE = /^[ \t]*bytes[ \t]+(\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)[ \t]*$/i;

/** The single part that a 206 holds. Several in one (multipart/byteranges) and what was not asked for are malformed. */
export function partOf(request: RequestView, fields: Fields): StoredPart | 'malformed' {
  const ranges = fieldValues(fields, 'content-range');
  if (ranges.length !== 1 || !hasField(request.fields, 'range')) return 'malformed';
  return parseContentRange(ranges[0]!) ?? 'malformed';
}

/** Content-Range in bytes, RFC 9110 §14.4; null where it is malformed or says that the range could not be met. */
export function parseContentRange(text: string): StoredPart | null {
  const match = CONTENT_RANGE.exec(text);
  if (!match) return null;
  const first = Number(match[1]);
  const last = Number(match[2]);
  const completeBytes = match[3] === '*' ? null : Number(match[3]);
  if (first > last || (completeBytes !== null && last >= completeBytes)) return null;
  return { first, last, completeBytes };
}

export type PartDecision =
  /** The part holds what is asked for: from `offset` of the stored bytes. `contentRange` is the answer's field. */
  | {
      readonly kind: 'slice';
      readonly offset: number;
      readonly lengthBytes: number;
      readonly contentRange: string;
    }
  | { readonly kind: 'insufficient' };

const INSUFFICIENT: PartDecision = { kind: 'insufficient' };

/** §4 and §3.3: whether a stored 206 answers a request. Only for a single range that lies within the part. */
export function decidePart(request: RequestView, meta: StoredMeta): PartDecision {
  const { part } = meta;
  const asked = fieldValues(request.fields, 'range');
  if (part === null || request.method !== 'GET' || asked.length !== 1) return INSUFFICIENT;
  if (!ifRangeHolds(request, meta)) return INSUFFICIENT;
  // Without the complete length an open end or a suffix has no place; a bound past the part keeps such ranges out.
  const ranges = parseByteRanges(asked[0]!, part.completeBytes ?? Number.MAX_SAFE_INTEGER);
  const range = ranges?.length === 1 ? ranges[0]! : null;
  if (range === null || range.first < part.first || range.last > part.last) return INSUFFICIENT;
  return {
    kind: 'slice',
    offset: range.first - part.first,
    lengthBytes: range.last - range.first + 1,
    contentRange: `bytes ${range.first}-${range.last}/${part.completeBytes ?? '*'}`,
  };
}

/** §3.4: the request fields that fetch what a stored part lacks at its end or beginning; null where none can. */
export function completionFields(meta: StoredMeta): Fields | null {
  const { part, etag } = meta;
  if (part === null || part.completeBytes === null || etag === null || !etagsMatchStrongly(etag, etag))
    return null;
  if (part.first === 0) return ['Range', `bytes=${part.last + 1}-`, 'If-Range', etag];
  if (part.last === part.completeBytes - 1) return ['Range', `bytes=0-${part.first - 1}`, 'If-Range', etag];
  return null;
}

/** Whether a new answer takes the place of a stored one of its variant: a part takes only that of parts that it overlaps. */
export function replaces(newer: StoredMeta, older: StoredMeta): boolean {
  if (!isSameVariant(newer, older)) return false;
  if (newer.part === null) return true;
  return older.part !== null && newer.part.first <= older.part.last && older.part.first <= newer.part.last;
}

export function isSameVariant(a: StoredMeta, b: StoredMeta): boolean {
  return (
    a.vary.length === b.vary.length &&
    a.vary.every((name, i) => name === b.vary[i] && a.varyValues[i] === b.varyValues[i])
  );
}

/**
 * §3.4: what is known of two parts put together, the newer one's word before the older's; null: they do not combine. All of
 * the whole is a 200 as any.
 */
export function combinedMeta(newer: StoredMeta, older: StoredMeta): StoredMeta | null {
  const part = isSameVariant(newer, older) ? combinedPart(newer, older) : null;
  if (part === null) return null;
  const isWhole = part.first === 0 && part.completeBytes !== null && part.last === part.completeBytes - 1;
  const said = new Set(fieldNames(newer.fields));
  const fields = [
    ...withoutFields(newer.fields, OF_ONE_PART),
    ...withoutFields(older.fields, new Set([...said, ...OF_ONE_PART])),
  ];
  if (!isWhole) fields.push('Content-Range', `bytes ${part.first}-${part.last}/${part.completeBytes ?? '*'}`);
  return {
    ...newer,
    status: isWhole ? 200 : 206,
    fields,
    part: isWhole ? null : part,
    responseTags: [...new Set([...newer.responseTags, ...older.responseTags])],
  };
}

const OF_ONE_PART: ReadonlySet<string> = new Set(['content-range', 'content-length']);

function fieldNames(fields: Fields): string[] {
  return fields.flatMap((name, i) => (i % 2 === 0 ? [name.toLowerCase()] : []));
}

/** §3.4: the part that two make together, where they touch and share a strong validator; null: they do not combine. */
export function combinedPart(
  a: Pick<StoredMeta, 'etag' | 'part'>,
  b: Pick<StoredMeta, 'etag' | 'part'>,
): StoredPart | null {
  if (a.part === null || b.part === null || a.etag === null || b.etag === null) return null;
  if (!etagsMatchStrongly(a.etag, b.etag) || a.part.completeBytes !== b.part.completeBytes) return null;
  if (a.part.first > b.part.last + 1 || b.part.first > a.part.last + 1) return null;
  return {
    first: Math.min(a.part.first, b.part.first),
    last: Math.max(a.part.last, b.part.last),
    completeBytes: a.part.completeBytes,
  };
}
