/**
 * What a failure of the origin at one request says of others with the same key. Their number must not grow with the
 * number of clients while the origin fails. Yet a request may fail for what it carries itself and the key leaves out: then
 * the others have to be asked for.
 */
import { createHash } from 'node:crypto';
import type { Fields } from './http/fields.ts';

/** The origin answered with this status, or gave no usable answer: `kind` is the Proxy-Status error type. */
export type OriginTrouble =
  | { readonly kind: 'answered'; readonly status: number }
  | { readonly kind: 'failed'; readonly error: string };

export type FailureScope =
  /** Every request with the primary key, whatever variant it selects. */
  | 'origin'
  /** Every request with the primary key that selects the same variant. */
  | 'all'
  /** Of those, the ones that the origin would be sent alike. */
  | 'alike';

export interface KnownFailure {
  readonly scope: FailureScope;
  /** Of the request that failed, as `sentDigest` gives it. */
  readonly sent: string;
}

/** Whether the status says that the origin fails, or that it refuses more requests (RFC 6585 §4). */
export function isFailureStatus(status: number): boolean {
  return status >= 500 || status === 429;
}

/**
 * Of which requests with the key the failure speaks; null: of that one alone. `before`: the failure at an earlier
 * request with the key, where the origin has given no other answer since.
 */
export function decideFailure(
  trouble: OriginTrouble,
  sent: string,
  before: KnownFailure | null,
): KnownFailure | null {
  if (trouble.kind === 'failed' && OF_WEIR.has(trouble.error)) return null;
  const isOfOrigin =
    trouble.kind === 'answered' ? isOriginFailure(trouble.status) : !OF_ANSWER.has(trouble.error);
  if (isOfOrigin) return { scope: 'origin', sent };
  const isSecond = before !== null && (before.scope !== 'alike' || before.sent !== sent);
  return { scope: isSecond ? 'all' : 'alike', sent };
}

/** Whether a status speaks of the server, whatever it was asked. */
export function isOriginFailure(status: number): boolean {
  return OF_ORIGIN.has(status);
}

export function concerns(failure: KnownFailure, method: string, fields: Fields): boolean {
  return failure.scope !== 'alike' || failure.sent === sentDigest(method, fields);
}

/** The same for requests with one key that the origin is sent alike. */
export function sentDigest(method: string, fields: Fields): string {
  return createHash('sha256').update(method).update('\n').update(fields.join('\n')).digest('base64url');
}

/** Statuses that speak of the server, whatever it was asked (RFC 9110 §15.6.3 to §15.6.5). */
const OF_ORIGIN: ReadonlySet<number> = new Set([502, 503, 504]);
/** Failures of which a request's own fields may be the cause: the answer came, and could not be used. */
const OF_ANSWER: ReadonlySet<string> = new Set(['http_protocol_error', 'http_response_header_section_size']);
/** Failures of Weir's own: its bounds on connections and queues, and errors of its own. */
const OF_WEIR: ReadonlySet<string> = new Set(['connection_limit_reached', 'proxy_internal_error']);
