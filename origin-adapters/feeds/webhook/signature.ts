/** Standard Webhooks 1.0: verifies signatures of deliveries, HMAC-SHA256 over the bytes as sent. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { fieldValues, type Fields } from '../../../policies/http/fields.ts';

export type Authentication =
  { readonly kind: 'authentic'; readonly id: string } | { readonly kind: 'refused'; readonly reason: string };

const PREFIX = 'whsec_';
/** Several signatures are sent while keys rotate. More than this are refused. */
const MAX_SIGNATURES = 16;

/** The form that a secret should have; null: it has it. */
export function secretProblem(secret: string): string | null {
  if (!secret.startsWith(PREFIX)) return secret === '' ? 'a secret that is not empty' : null;
  return decodedBase64(secret.slice(PREFIX.length)) === null ? `base64 after ${PREFIX}` : null;
}

/** The keys of a secret: base64 after `whsec_`. Without the prefix, senders use its bytes or what it encodes. */
export function keysOf(secret: string): Buffer[] {
  if (secret.startsWith(PREFIX)) return [decodedBase64(secret.slice(PREFIX.length))!];
  const decoded = decodedBase64(secret);
  return decoded === null ? [Buffer.from(secret)] : [Buffer.from(secret), decoded];
}

/**
 * Whether one of the signatures was made with one of the keys, at a time within `toleranceMs` of `nowMs` (wall
 * clock). Takes the same time for wrong and right signatures.
 */
export function authenticate(
  fields: Fields,
  body: Uint8Array,
  keys: readonly Buffer[],
  nowMs: number,
  toleranceMs: number,
): Authentication {
  const id = single(fields, 'webhook-id');
  const timestamp = single(fields, 'webhook-timestamp');
  const signatures = signaturesOf(fields);
  if (id === null || timestamp === null || signatures.length === 0) {
    return refused('expected webhook-id, webhook-timestamp and webhook-signature with v1');
  }
  if (!isSigned(`${id}.${timestamp}.`, body, keys, signatures))
    return refused('the signature does not match');
  // Seconds since 1970, read only after the signature was verified.
  const isTime = /^\d{1,15}$/.test(timestamp);
  if (!isTime || Math.abs(nowMs - Number(timestamp) * 1000) > toleranceMs) {
    return refused('the timestamp is outside the tolerance');
  }
  return { kind: 'authentic', id };
}

function isSigned(
  before: string,
  body: Uint8Array,
  keys: readonly Buffer[],
  signatures: readonly Buffer[],
): boolean {
  let isMatching = false;
  for (const key of keys) {
    const expected = createHmac('sha256', key).update(before, 'latin1').update(body).digest();
    for (const signature of signatures) isMatching = timingSafeEqual(expected, signature) || isMatching;
  }
  return isMatching;
}

/** Signatures of version 1, of 32 bytes each. */
function signaturesOf(fields: Fields): Buffer[] {
  return fieldValues(fields, 'webhook-signature')
    .flatMap((value) => value.split(' '))
    .filter((signature) => signature.startsWith('v1,'))
    .slice(0, MAX_SIGNATURES)
    .map((signature) => Buffer.from(signature.slice(3), 'base64'))
    .filter((signature) => signature.length === 32);
}

/** The value of a field; null: it is absent or repeated. */
function single(fields: Fields, name: string): string | null {
  const values = fieldValues(fields, name);
  return values.length === 1 && values[0] !== '' ? values[0]! : null;
}

function decodedBase64(text: string): Buffer | null {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return null;
  const decoded = Buffer.from(text, 'base64');
  const isWhole = decoded.toString('base64').replaceAll('=', '') === text.replaceAll('=', '');
  return isWhole && decoded.length > 0 ? decoded : null;
}

function refused(reason: string): Authentication {
  return { kind: 'refused', reason };
}
