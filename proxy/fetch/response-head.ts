/** Functions that read an origin's response head, apart from the rules of the RFCs. */
import { fieldValue, fieldValues, withoutFields, type Fields } from '../../policies/http/fields.ts';
import { endToEnd } from '../../policies/http/hop-by-hop.ts';
import type { StoredMeta } from '../../policies/model.ts';

/** The Set-Cookie fields of a 304: only the client whose request was sent receives them. */
export function setCookies(received: Fields): string[] {
  return fieldValues(received, 'set-cookie').flatMap((value) => ['Set-Cookie', value]);
}

/** End-to-end fields that are not stored: Set-Cookie under `strip`, and fields named by no-cache or private. */
export function unstoredFields(received: Fields, stored: Fields): string[] {
  const names = new Set(['age', 'content-length', 'content-range']);
  for (let i = 0; i < stored.length; i += 2) names.add(stored[i]!.toLowerCase());
  return withoutFields(endToEnd(received), names);
}

/** -1: unknown until the content ends. A 204 has no content, whatever its Content-Length. */
export function sizeOf({ part, status }: StoredMeta, fields: Fields): number {
  if (status === 204) return 0;
  return part === null ? contentLength(fields) : part.last - part.first + 1;
}

/** False if the Content-Length of a part contradicts its Content-Range: the bytes may not be those of the range. */
export function isAsLongAsItSays(meta: StoredMeta, fields: Fields): boolean {
  const length = contentLength(fields);
  return meta.part === null || length < 0 || length === sizeOf(meta, fields);
}

function contentLength(fields: Fields): number {
  const text = fieldValue(fields, 'content-length');
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : -1;
}
