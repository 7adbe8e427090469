/** RFC 9111 §3.3 and §3.4: partial responses, what they are parts of, and which may be put together. */
import { fieldValues, hasField } from '../http/fields.ts';
import type { Fields } from '../http/fields.ts';
import type { RequestView, StoredMeta } from '../model.ts';

export type Part = NonNullable<StoredMeta['part']>;

const CONTENT_RANGE = /^\s*bytes[ \t]+(\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)\s*$/i;

/** The single part that a 206 holds. Several in one (multipart/byteranges) and what was not asked for are malformed. */
export function partOf(request: RequestView, fields: Fields): Part | 'malformed' {
  const ranges = fieldValues(fields, 'content-range');
  if (ranges.length !== 1 || !hasField(request.fields, 'range')) return 'malformed';
  return parseContentRange(ranges[0]!) ?? 'malformed';
}

/** Content-Range in bytes, RFC 9110 §14.4; null where it is malformed or says that the range could not be met. */
export function parseContentRange(text: string): Part | null {
  const match = CONTENT_RANGE.exec(text);
  if (!match) return null;
  const first = Number(match[1]);
  const last = Number(match[2]);
  const completeBytes = match[3] === '*' ? null : Number(match[3]);
  if (first > last || (completeBytes !== null && last >= completeBytes)) return null;
  return { first, last, completeBytes };
}
