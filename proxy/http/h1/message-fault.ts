/** Why bytes are not accepted as a message: the error response that they get. */
import type { ErrorValues, ListenerErrorCode } from '../error-responses.ts';

export interface MessageFault {
  readonly code: ListenerErrorCode;
  readonly values: ErrorValues;
}

/** RFC 9112: bytes that break its grammar. `fault` is a sentence for the client. */
export function malformed(fault: string): MessageFault {
  return { code: 'malformed-request', values: { fault } };
}

export function tooLarge(code: ListenerErrorCode, limit: number): MessageFault {
  return { code, values: { limit } };
}
