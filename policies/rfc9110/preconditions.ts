/** RFC 9110 §13: a request's preconditions, evaluated against a stored response. */
import { parseHttpDate } from '../http/dates.ts';
import { etagsMatchStrongly, etagsMatchWeakly, parseEtagCondition } from '../http/etags.ts';
import { fieldValue, fieldValues, hasField } from '../http/fields.ts';
import type { Fields } from '../http/fields.ts';
import type { RequestView, StoredMeta } from '../model.ts';

/** The stored response that preconditions are evaluated against. */
export type Selected = Pick<StoredMeta, 'status' | 'etag' | 'lastModifiedMs' | 'dateMs'>;

/**
 * `failed`: If-Match or If-Unmodified-Since is false for the stored response. Only the origin evaluates these two
 * (RFC 9111 §4.3.2), so the request is passed to it instead of being answered with 412.
 */
export type PreconditionResult = 'proceed' | 'not-modified' | 'failed';

/** §13.2.2: evaluates in the specified order. `decideRange` evaluates If-Range. Malformed dates are ignored (§13.1.3). */
export function evaluatePreconditions(
  request: RequestView,
  selected: Selected,
  nowMs: number,
): PreconditionResult {
  if (!hasCondition(request)) return 'proceed';
  // §13.2.1: preconditions apply only if the response without them would be successful.
  if (selected.status < 200 || selected.status > 299) return 'proceed';

  const ifMatch = fieldValue(request.fields, 'if-match');
  if (ifMatch !== undefined) {
    if (!matches(ifMatch, selected.etag, etagsMatchStrongly)) return 'failed';
  } else {
    const since = singleDate(request, 'if-unmodified-since', nowMs);
    if (since !== null && (selected.lastModifiedMs === null || selected.lastModifiedMs > since))
      return 'failed';
  }

  const ifNoneMatch = fieldValue(request.fields, 'if-none-match');
  if (ifNoneMatch !== undefined) {
    if (!matches(ifNoneMatch, selected.etag, etagsMatchWeakly)) return 'proceed';
    return isRetrieval(request) ? 'not-modified' : 'failed';
  }
  const since = isRetrieval(request) ? singleDate(request, 'if-modified-since', nowMs) : null;
  // RFC 9111 §4.3.2: without Last-Modified, the response's Date takes its place.
  return since !== null && (selected.lastModifiedMs ?? selected.dateMs) <= since ? 'not-modified' : 'proceed';
}

/**
 * §13.1.1, §13.1.4: whether the request has a precondition that only the origin may evaluate. No response to a
 * request without that precondition answers it.
 */
export function mayFail(request: RequestView): boolean {
  return hasField(request.fields, 'if-match') || hasField(request.fields, 'if-unmodified-since');
}

/**
 * §15.4.5: the fields of a 304, out of those of the 200: the required ones, those by which caches set lifetime and
 * tags, Via, and Last-Modified where there is no ETag.
 */
export function notModifiedFields(fields: Fields, targetedFields: readonly string[]): string[] {
  const hasEtag = hasField(fields, 'etag');
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!.toLowerCase();
    const isKept =
      NOT_MODIFIED.has(name) || targetedFields.includes(name) || (name === 'last-modified' && !hasEtag);
    if (isKept) kept.push(fields[i]!, fields[i + 1]!);
  }
  return kept;
}

const NOT_MODIFIED: ReadonlySet<string> = new Set([
  'cache-control',
  'cache-groups',
  'cache-tag',
  'cdn-cache-control',
  'content-location',
  'date',
  'etag',
  'expires',
  'surrogate-control',
  'surrogate-key',
  'vary',
  'via',
  'xkey',
]);

function hasCondition(request: RequestView): boolean {
  const { fields } = request;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i]!;
    if ((name.charCodeAt(0) | 0x20) === 0x69 && (name.charCodeAt(1) | 0x20) === 0x66) return true;
  }
  return false;
}

function isRetrieval(request: RequestView): boolean {
  return request.method === 'GET' || request.method === 'HEAD';
}

function matches(condition: string, etag: string | null, match: (a: string, b: string) => boolean): boolean {
  const parsed = parseEtagCondition(condition);
  switch (parsed.kind) {
    case 'any':
      return true;
    case 'malformed':
      return false;
    case 'list':
      return etag !== null && parsed.etags.some((listed) => match(listed, etag));
    default:
      return parsed satisfies never;
  }
}

function singleDate(request: RequestView, name: string, nowMs: number): number | null {
  const values = fieldValues(request.fields, name);
  return values.length === 1 ? parseHttpDate(values[0]!, nowMs) : null;
}
