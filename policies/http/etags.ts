/** RFC 9110 §8.8.3: entity tags and their two comparisons. */
import { trimmed } from './fields.ts';

const ETAG = /^(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/;

/** The entity tag as sent; null where the text is not one. */
export function parseEtag(text: string | undefined): string | null {
  if (text === undefined) return null;
  const etag = trimmed(text);
  return ETAG.test(etag) ? etag : null;
}

export function isWeakEtag(etag: string): boolean {
  return etag.startsWith('W/');
}

/** RFC 9110 §8.8.3.2: weak comparison. */
export function etagsMatchWeakly(a: string, b: string): boolean {
  return opaqueTag(a) === opaqueTag(b);
}

/** RFC 9110 §8.8.3.2: strong comparison. */
export function etagsMatchStrongly(a: string, b: string): boolean {
  return a === b && !isWeakEtag(a);
}

export type EtagCondition =
  | { readonly kind: 'any' }
  | { readonly kind: 'list'; readonly etags: readonly string[] }
  | { readonly kind: 'malformed' };

/** RFC 9110 §13.1.1, §13.1.2: the value of If-Match or If-None-Match. A tag may contain commas. */
export function parseEtagCondition(value: string): EtagCondition {
  if (trimmed(value) === '*') return { kind: 'any' };
  const etags: string[] = [];
  let at = 0;
  while (at < value.length) {
    const c = value[at]!;
    if (c === ' ' || c === '\t' || c === ',') {
      at++;
      continue;
    }
    const opening = value.startsWith('W/"', at) ? at + 2 : at;
    const closing = value[opening] === '"' ? value.indexOf('"', opening + 1) : -1;
    const etag = closing < 0 ? null : parseEtag(value.slice(at, closing + 1));
    if (etag === null) return { kind: 'malformed' };
    etags.push(etag);
    at = closing + 1;
  }
  return etags.length > 0 ? { kind: 'list', etags } : { kind: 'malformed' };
}

function opaqueTag(etag: string): string {
  return isWeakEtag(etag) ? etag.slice(2) : etag;
}
