/**
 * Decides which other requests with the same key share the failure of a request to the origin. The number of requests
 * to a failing origin must not grow with the number of clients. But a request may fail because of something that the
 * key leaves out; then the others have to be sent.
 */
import { createHash } from 'node:crypto';
import type { Fields } from './http/fields.ts';

/** The origin responded with this status, or gave no usable response: `kind` is the Proxy-Status error type. */
export type OriginTrouble =
  | { readonly kind: 'answered'; readonly status: number }
  | { readonly kind: 'failed'; readonly error: string };

export type FailureScope =
  /** Every request with the primary key, whatever variant it selects. */
  | 'origin'
  /** Every request with the primary key that selects the same variant. */
  | 'all'
  /** Every request of `all` that is sent to the origin with the same method and fields. */
  | 'alike';

export interface KnownFailure {
  readonly scope: FailureScope;
  /** The digest of the failed request, from `sentDigest`. */
  readonly sent: string;
}

/** Whether the status says that the origin fails, or that it refuses more requests (RFC 6585 §4). */
export function isFailureStatus(status: number): boolean {
  return status >= 500 || status === 429;
}

/**
 * The requests with the key that share the failure; null: only the failed one. `before`: the failure of an earlier
 * request with the key, if the origin has given no other response since.
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

/** Whether a status concerns the server, whatever the request. */
export function isOriginFailure(status: number): boolean {
  return OF_ORIGIN.has(status);
}

export function concerns(failure: KnownFailure, method: string, fields: Fields): boolean {
  return failure.scope !== 'alike' || failure.sent === sentDigest(method, fields);
}

/** Equal for requests with one key that are sent to the origin with the same method and fields. */
export function sentDigest(method: string, fields: Fields): string {
  return createHash('sha256').update(method).update('\n').update(fields.join('\n')).digest('base64url');
}

/** RFC 9110 §15.6.3 to §15.6.5: statuses that concern the server, whatever the request. */
const OF_ORIGIN: ReadonlySet<number> = new Set([502, 503, 504]);
/** Failures that the request's own fields may have caused: a response arrived but could not be used. */
const OF_ANSWER: ReadonlySet<string> = new Set(['http_protocol_error', 'http_response_header_section_size']);
/** Failures of Weir itself: its limits on connections and queues, and internal errors. */
const OF_WEIR: ReadonlySet<string> = new Set(['connection_limit_reached', 'proxy_internal_error']);
