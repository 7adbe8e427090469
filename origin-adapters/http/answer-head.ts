/** What undici's parser lets through although it is no answer to what was asked, or of no certain content. */
import type { Fields } from '../../policies/http/fields.ts';
import { hasField, listMembers } from '../../policies/http/fields.ts';
import type { OriginRequest } from '../origin.ts';

/** Why a final head can't be taken; null: it can. */
export function faultOfHead(
  { method, fields: asked }: Pick<OriginRequest, 'method' | 'fields'>,
  status: number,
  fields: Fields,
): string | null {
  if (status === 304) {
    // RFC 9110 §15.4.5: it speaks of what a condition named.
    return CONDITIONS.some((name) => hasField(asked, name)) ? null : 'a 304 was sent without a condition';
  }
  if (method === 'HEAD' || status === 204) return null;
  // RFC 9112 §7: none but chunked was asked for, by TE; what another has made of the content is not the content.
  const codings = listMembers(fields, 'transfer-encoding').map((coding) => coding.toLowerCase());
  return codings.join() === 'chunked' || !codings.some(changesContent)
    ? null
    : 'the transfer coding is not known';
}

/** A name that is in no registry tells of no change: the content ends with the connection (RFC 9112 §6.3). */
function changesContent(coding: string): boolean {
  return CODINGS.has(coding.split(';', 1)[0]!.trim());
}

/** RFC 9112 §7, and its registry. */
const CODINGS: ReadonlySet<string> = new Set([
  'chunked',
  'compress',
  'deflate',
  'gzip',
  'x-compress',
  'x-gzip',
]);

const CONDITIONS = ['if-none-match', 'if-modified-since'];
