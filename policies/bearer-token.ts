/** RFC 6750 §2.1: compares bearer tokens in a time that does not depend on their content. */
import { createHash, timingSafeEqual } from 'node:crypto';

/** Whether an Authorization field has the token. An empty `token` means that none is required. */
export function bearsToken(authorization: string | undefined, token: string): boolean {
  if (token === '') return true;
  const sent = /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  return sent !== undefined && timingSafeEqual(digestOf(sent), digestOf(token));
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
