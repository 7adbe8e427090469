/**
 * Checks for heads that undici's parser accepts although they don't answer the request, or leave the content
 * undefined.
 */
import type { Fields } from '../../policies/http/fields.ts';
import { hasField, listMembers } from '../../policies/http/fields.ts';
import type { OriginRequest } from '../origin.ts';

/** The reason why a final head can't be accepted; null: it can. */
export function faultOfHead(
  { method, fields: asked }: Pick<OriginRequest, 'method' | 'fields'>,
  status: number,
  fields: Fields,
): string | null {
  if (status === 304) {
    // RFC 9110 §15.4.5: a 304 answers a conditional request.
    return CONDITIONS.some((name) => hasField(asked, name)) ? null : 'a 304 was sent without a condition';
  }
  if (method === 'HEAD' || status === 204) return null;
  // RFC 9112 §7: TE requested none but chunked. Content with another transfer coding can't be decoded.
  const codings = listMembers(fields, 'transfer-encoding').map((coding) => coding.toLowerCase());
  return codings.join() === 'chunked' || !codings.some(changesContent)
    ? null
    : 'the transfer coding is not known';
}

/** RFC 9112 §6.3: an unregistered coding changes nothing, and the content ends with the connection. */
function changesContent(coding: string): boolean {
  return CODINGS.has(coding.split(';', 1)[0]!.trim());
}

/** RFC 9112 §7 and its registry. */
const CODINGS: ReadonlySet<string> = new Set([
  'chunked',
  'compress',
  'deflate',
  'gzip',
  'x-compress',
  'x-gzip',
]);

const CONDITIONS = ['if-none-match', 'if-modified-since'];
