/** RFC 9110 §14: the part of a stored response that a request asks for. */
import { parseHttpDate } from '../http/dates.ts';
import { etagsMatchStrongly, parseEtag } from '../http/etags.ts';
import { fieldValue, fieldValues, trimmed } from '../http/fields.ts';
import type { RequestView, StoredMeta } from '../model.ts';

export interface ByteRange {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
}

export type RangeDecision =
  | { readonly kind: 'whole' }
  | { readonly kind: 'single'; readonly range: ByteRange; readonly contentRange: string }
  | { readonly kind: 'multiple'; readonly ranges: readonly ByteRange[] }
  /** The response is 416. */
  | { readonly kind: 'unsatisfiable'; readonly contentRange: string };

/** §14.2: more ranges, or more than two overlapping ones, get the whole response instead. */
export const MAX_RANGES = 32;

/** Length of the boundary between parts, in characters. */
export const BOUNDARY_LENGTH = 32;

const WHOLE: RangeDecision = { kind: 'whole' };

/**
 * §14.2, for GET and a stored 200. A malformed range, another unit or a false If-Range gives the whole response. So
 * do several ranges whose parts, with their framing, are not smaller than the whole (§15.3.7.2).
 */
export function decideRange(
  request: RequestView,
  meta: Pick<StoredMeta, 'status' | 'fields' | 'etag' | 'lastModifiedMs' | 'lastModifiedStrong' | 'dateMs'>,
  sizeBytes: number,
): RangeDecision {
  if (request.method !== 'GET' || meta.status !== 200) return WHOLE;
  const values = fieldValues(request.fields, 'range');
  if (values.length !== 1 || !ifRangeHolds(request, meta)) return WHOLE;
  const asked = parseByteRanges(values[0]!, sizeBytes);
  if (asked === null) return WHOLE;
  if (asked.length === 0) return { kind: 'unsatisfiable', contentRange: `bytes */${sizeBytes}` };
  const [range, ...others] = asked;
  if (others.length === 0) {
    return { kind: 'single', range: range!, contentRange: contentRange(range!, sizeBytes) };
  }
  const { contentLength } = multipartLayout(asked, {
    type: fieldValue(meta.fields, 'content-type'),
    sizeBytes,
    boundary: 'b'.repeat(BOUNDARY_LENGTH),
  });
  return isExcessive(asked) || contentLength >= sizeBytes ? WHOLE : { kind: 'multiple', ranges: asked };
}

/** §14.6: the layout of a multipart/byteranges response. `boundary` must not occur in the content. */
export interface MultipartLayout {
  readonly contentType: string;
  readonly contentLength: number;
  /** Text before each part's bytes, in order. */
  readonly heads: readonly string[];
  readonly tail: string;
}

export function multipartLayout(
  ranges: readonly ByteRange[],
  content: { readonly type: string | undefined; readonly sizeBytes: number; readonly boundary: string },
): MultipartLayout {
  const { type, sizeBytes, boundary } = content;
  const typeLine = type === undefined ? '' : `Content-Type: ${type}\r\n`;
  const heads = ranges.map(
    (range, i) =>
      `${i === 0 ? '' : '\r\n'}--${boundary}\r\n${typeLine}Content-Range: ${contentRange(range, sizeBytes)}\r\n\r\n`,
  );
  const tail = `\r\n--${boundary}--\r\n`;
  const contentBytes = ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  const framingBytes = heads.reduce((sum, head) => sum + Buffer.byteLength(head, 'latin1'), tail.length);
  return {
    contentType: `multipart/byteranges; boundary=${boundary}`,
    contentLength: contentBytes + framingBytes,
    heads,
    tail,
  };
}

/**
 * §14.1.2: the satisfiable ranges within `sizeBytes`, in the requested order; empty where none is satisfiable; null
 * where the text is not a set of byte ranges. A suffix of 0 bytes is not satisfiable.
 */
export function parseByteRanges(text: string, sizeBytes: number): ByteRange[] | null {
  const match = /^[ \t]*bytes[ \t]*=(.*)$/i.exec(text);
  if (!match) return null;
  const specs = match[1]!
    .split(',')
    .map(trimmed)
    .filter((spec) => spec !== '');
  if (specs.length === 0 || specs.length > MAX_RANGES) return null;
  const ranges: ByteRange[] = [];
  for (const spec of specs) {
    const range = parseSpec(spec, sizeBytes);
    if (range === 'malformed') return null;
    if (range !== 'unsatisfiable') ranges.push(range);
  }
  return ranges;
}

function parseSpec(spec: string, sizeBytes: number): ByteRange | 'malformed' | 'unsatisfiable' {
  const match = /^(\d*)-(\d*)$/.exec(spec);
  if (!match || spec === '-') return 'malformed';
  const [, from, to] = match as unknown as [string, string, string];
  if (from === '') {
    const length = Math.min(Number(to), sizeBytes);
    return length === 0 ? 'unsatisfiable' : { first: sizeBytes - length, last: sizeBytes - 1 };
  }
  const first = Number(from);
  if (to !== '' && isLess(to, from)) return 'malformed';
  if (first >= sizeBytes) return 'unsatisfiable';
  return { first, last: to === '' ? sizeBytes - 1 : Math.min(Number(to), sizeBytes - 1) };
}

/** Compares digits as text: beyond 2^53 different numbers are equal as doubles. */
function isLess(a: string, b: string): boolean {
  const [x, y] = [a, b].map((digits) => digits.replace(/^0+/, '')) as [string, string];
  return x.length === y.length ? x < y : x.length < y.length;
}

function isExcessive(ranges: readonly ByteRange[]): boolean {
  let overlaps = 0;
  const ordered = ranges.toSorted((a, b) => a.first - b.first);
  let end = -1;
  for (const { first, last } of ordered) {
    if (first <= end) overlaps++;
    end = Math.max(end, last);
  }
  return overlaps >= 2;
}

function contentRange({ first, last }: ByteRange, sizeBytes: number): string {
  return `bytes ${first}-${last}/${sizeBytes}`;
}

/** §13.1.5: If-Range holds a strong tag that matches, or exactly the strong Last-Modified. */
export function ifRangeHolds(
  request: RequestView,
  meta: Pick<StoredMeta, 'etag' | 'lastModifiedMs' | 'lastModifiedStrong' | 'dateMs'>,
): boolean {
  const values = fieldValues(request.fields, 'if-range');
  if (values.length === 0) return true;
  if (values.length > 1) return false;
  const etag = parseEtag(values[0]);
  if (etag !== null) return meta.etag !== null && etagsMatchStrongly(etag, meta.etag);
  const since = parseHttpDate(values[0]!, meta.dateMs);
  return since !== null && meta.lastModifiedStrong && since === meta.lastModifiedMs;
}
