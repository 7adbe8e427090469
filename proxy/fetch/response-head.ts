/** Functions that read an origin's response head, apart from the rules of the RFCs. */
import { fieldValue, fieldValues, lowerName, type Fields } from '../../policies/http/fields.ts';
import { endToEndWithout, isHopByHop } from '../../policies/http/hop-by-hop.ts';
import type { StoredMeta } from '../../policies/model.ts';

/** The Set-Cookie fields of a 304: only the client whose request was sent receives them. */
export function setCookies(received: Fields): string[] {
  return fieldValues(received, 'set-cookie').flatMap((value) => ['Set-Cookie', value]);
}

/** End-to-end fields that are not stored: Set-Cookie under `strip`, and fields named by no-cache or private. */
export function unstoredFields(received: Fields, stored: Fields): readonly string[] {
  if (isAllStored(received, stored)) return NO_FIELDS;
  const names = new Set(NEVER_UNSTORED);
  for (let i = 0; i < stored.length; i += 2) names.add(lowerName(stored[i]!));
  return endToEndWithout(received, names);
}

/** Of these only the values are kept, or none. */
const NEVER_UNSTORED: ReadonlySet<string> = new Set(['age', 'content-length', 'content-range']);
const NO_FIELDS: readonly string[] = [];

/** True only if all end-to-end fields are stored, in the order in which they were received: so for most responses. */
function isAllStored(received: Fields, stored: Fields): boolean {
  let at = 0;
  for (let i = 0; i < received.length; i += 2) {
    if (received[i] === stored[at] && received[i + 1] === stored[at + 1]) at += 2;
    else {
      const name = lowerName(received[i]!);
      if (!isHopByHop(name) && !NEVER_UNSTORED.has(name)) return false;
    }
  }
  return true;
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
