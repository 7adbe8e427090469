/** RFC 9111 §3.3 and §3.4: partial responses, the requests that they answer, and how they are combined. */
import { etagsMatchStrongly } from '../http/etags.ts';
import { fieldValues, hasField, withoutFields } from '../http/fields.ts';
import type { Fields } from '../http/fields.ts';
import type { RequestView, StoredMeta } from '../model.ts';
import { ifRangeHolds, parseByteRanges } from '../rfc9110/ranges.ts';

export type StoredPart = NonNullable<StoredMeta['part']>;

const CONTENT_RANGE = /^[ \t]*bytes[ \t]+(\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)[ \t]*$/i;

/**
 * The single part that a 206 holds. `malformed`: it holds several (multipart/byteranges), or the request had no
 * Range.
 */
export function partOf(request: RequestView, fields: Fields): StoredPart | 'malformed' {
  const ranges = fieldValues(fields, 'content-range');
  if (ranges.length !== 1 || !hasField(request.fields, 'range')) return 'malformed';
  return parseContentRange(ranges[0]!) ?? 'malformed';
}

/** RFC 9110 §14.4: Content-Range in bytes; null where it is malformed or says that the range is unsatisfiable. */
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
  /**
   * The part holds the requested range, from `offset` of the stored bytes. `contentRange` is the response's field.
   */
  | {
      readonly kind: 'slice';
      readonly offset: number;
      readonly lengthBytes: number;
      readonly contentRange: string;
    }
  | { readonly kind: 'insufficient' };

const INSUFFICIENT: PartDecision = { kind: 'insufficient' };

/** §3.3 and §4: whether a stored 206 answers a request, which it does only for a single range within the part. */
export function decidePart(request: RequestView, meta: StoredMeta): PartDecision {
  const { part } = meta;
  const asked = fieldValues(request.fields, 'range');
  if (part === null || request.method !== 'GET' || asked.length !== 1) return INSUFFICIENT;
  if (!ifRangeHolds(request, meta)) return INSUFFICIENT;
  // While the complete length is unknown, an open end or a suffix can't be located: a size beyond any part excludes
  // such ranges.
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

/**
 * §3.4: request fields that fetch what a stored part lacks at its beginning or end; null where no single range does.
 */
export function completionFields(meta: StoredMeta): Fields | null {
  const { part, etag } = meta;
  if (part === null || part.completeBytes === null || etag === null || !etagsMatchStrongly(etag, etag))
    return null;
  if (part.first === 0) return ['Range', `bytes=${part.last + 1}-`, 'If-Range', etag];
  if (part.last === part.completeBytes - 1) return ['Range', `bytes=0-${part.first - 1}`, 'If-Range', etag];
  return null;
}

/** Whether a new response replaces a stored one of the same variant. A part replaces only parts that it overlaps. */
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
 * §3.4: metadata of two combined parts, where the newer one's fields take precedence; null where they can't be
 * combined. Parts that make up the whole become a 200.
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

/**
 * §3.4: the range that two parts cover together, if they touch and share a strong validator; null where they can't be
 * combined.
 */
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
