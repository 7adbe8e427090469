/** Compares bearer tokens (RFC 6750 §2.1) in a time that tells nothing of the token that is wanted. */
import { createHash, timingSafeEqual } from 'node:crypto';

/** Whether an Authorization field carries the token. `token` empty: none is asked for. */
export function bearsToken(authorization: string | undefined, token: string): boolean {
  if (token === '') return true;
  const sent = /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  return sent !== undefined && timingSafeEqual(digestOf(sent), digestOf(token));
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
