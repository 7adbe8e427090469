/** RFC 9209 §2.3: maps errors of undici, sockets, TLS and the resolver to error types. */
import { errors } from 'undici';
import type { OriginFailure } from '../origin.ts';

/** The progress of an attempt at the time of its failure. */
export type Stage =
  /** Nothing of the request was sent. */
  | 'connecting'
  /** The request was sent in part or whole, and no final response head has arrived. */
  | 'sent'
  /** The final head has arrived. */
  | 'answered';

type FailureKind = OriginFailure['kind'];

export function originFailure(
  kind: FailureKind,
  message: string,
  maybeProcessed: boolean,
  cause: unknown,
): OriginFailure {
  return { kind, status: statusOf(kind), message, maybeProcessed, cause };
}

/**
 * The failure of an attempt that ended with `error` at `stage`. `timedOut`: the timeout that ended it, if one did.
 */
export function failureOf(error: unknown, stage: Stage, timedOut: FailureKind | null = null): OriginFailure {
  const kind = timedOut ?? kindOf(error, stage);
  return originFailure(kind, `${descriptions[kind]}${detail(error)}`, stage !== 'connecting', error);
}

/** Whether the connection failed, so that the same request may succeed on another one. */
export function isConnectionFailure(kind: FailureKind): boolean {
  return connectionFailures.has(kind);
}

const connectionFailures: ReadonlySet<FailureKind> = new Set([
  'dns_error',
  'dns_timeout',
  'destination_unavailable',
  'destination_ip_unroutable',
  'connection_refused',
  'connection_terminated',
  'connection_timeout',
]);

const descriptions: Readonly<Record<FailureKind, string>> = {
  dns_error: "the origin's name could not be resolved",
  dns_timeout: "the origin's name could not be resolved in time",
  destination_unavailable: 'the origin is not available',
  destination_ip_unroutable: "there is no route to the origin's address",
  connection_refused: 'the origin refused the connection',
  connection_terminated: 'the connection to the origin was lost before it answered',
  connection_timeout: 'the connection to the origin could not be made in time',
  connection_read_timeout: 'the origin stopped sending in the middle of its answer',
  connection_write_timeout: 'the origin stopped reading the request',
  connection_limit_reached: 'all connections to the origin are in use',
  tls_protocol_error: 'TLS with the origin failed',
  tls_certificate_error: "the origin's certificate was not accepted",
  http_response_incomplete: "the origin's answer was cut short",
  http_response_timeout: 'the origin did not answer in time',
  http_response_header_section_size: "the origin's header section is too large",
  http_protocol_error: "the origin's answer is not valid HTTP",
  proxy_internal_error: 'the request could not be sent to the origin',
};

/** RFC 9209 §2.3: the recommended status of each type, with 502 in place of 500. */
function statusOf(kind: FailureKind): OriginFailure['status'] {
  switch (kind) {
    case 'destination_unavailable':
    case 'connection_limit_reached':
      return 503;
    case 'dns_timeout':
    case 'connection_timeout':
    case 'connection_read_timeout':
    case 'connection_write_timeout':
    case 'http_response_timeout':
      return 504;
    default:
      return 502;
  }
}

function kindOf(error: unknown, stage: Stage): FailureKind {
  if (error instanceof errors.HTTPParserError) return kindOfParserError(error, stage);
  const code = codeOf(error);
  // undici uses this code for any error in a head with a length. Before any content, the length is not the reason.
  if (code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' && stage !== 'answered') return 'http_protocol_error';
  const byCode = kindsByCode.get(code);
  if (byCode !== undefined) return byCode;
  return code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_')
    ? 'tls_protocol_error'
    : kindByStage(stage);
}

/** undici's parser errors have no code: only the text says that a message ended too early. */
function kindOfParserError(error: Error, stage: Stage): FailureKind {
  return error.message.includes('EOF') ? kindByStage(stage) : 'http_protocol_error';
}

const kindsByCode: ReadonlyMap<string, FailureKind> = new Map<string, FailureKind>([
  ['ENOTFOUND', 'dns_error'],
  ['ENODATA', 'dns_error'],
  ['EAI_AGAIN', 'dns_timeout'],
  ['EAI_FAIL', 'dns_error'],
  ['ECONNREFUSED', 'connection_refused'],
  ['ENETUNREACH', 'destination_ip_unroutable'],
  ['EHOSTUNREACH', 'destination_ip_unroutable'],
  ['EADDRNOTAVAIL', 'destination_ip_unroutable'],
  ['UND_ERR_CONNECT_TIMEOUT', 'connection_timeout'],
  // The attempt times the wait for the response. undici's timer remains for an origin that does not read.
  ['UND_ERR_HEADERS_TIMEOUT', 'connection_write_timeout'],
  ['UND_ERR_HEADERS_OVERFLOW', 'http_response_header_section_size'],
  ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'http_response_incomplete'],
  ['UND_ERR_INVALID_ARG', 'proxy_internal_error'],
  ['UND_ERR_NOT_SUPPORTED', 'proxy_internal_error'],
  ['UND_ERR_ABORTED', 'proxy_internal_error'],
  ['UND_ERR_REQ_CONTENT_LENGTH_MISMATCH', 'proxy_internal_error'],
  ['EPROTO', 'tls_protocol_error'],
  ['CERT_HAS_EXPIRED', 'tls_certificate_error'],
  ['CERT_NOT_YET_VALID', 'tls_certificate_error'],
  ['CERT_REVOKED', 'tls_certificate_error'],
  ['CERT_UNTRUSTED', 'tls_certificate_error'],
  ['CERT_REJECTED', 'tls_certificate_error'],
  ['CERT_SIGNATURE_FAILURE', 'tls_certificate_error'],
  ['CERT_CHAIN_TOO_LONG', 'tls_certificate_error'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'tls_certificate_error'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'tls_certificate_error'],
  ['UNABLE_TO_GET_ISSUER_CERT', 'tls_certificate_error'],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'tls_certificate_error'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'tls_certificate_error'],
  ['HOSTNAME_MISMATCH', 'tls_certificate_error'],
  ['INVALID_CA', 'tls_certificate_error'],
  ['INVALID_PURPOSE', 'tls_certificate_error'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls_certificate_error'],
]);

/** For errors that say only that the socket is gone, reset or closed. */
function kindByStage(stage: Stage): FailureKind {
  switch (stage) {
    case 'connecting':
      return 'destination_unavailable';
    case 'sent':
      return 'connection_terminated';
    case 'answered':
      return 'http_response_incomplete';
  }
}

/** The code of an AggregateError of several addresses is that of its first error. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  if ('code' in error && typeof error.code === 'string') return error.code;
  return error instanceof AggregateError ? codeOf(error.errors[0]) : '';
}

function detail(error: unknown): string {
  const code = codeOf(error);
  if (code !== '') return ` (${code})`;
  return error instanceof Error && error.message !== '' ? ` (${error.message})` : '';
}

const CAUSE_LENGTH = 200;

/** The message of the system or library on one line, for logs; it may contain addresses. */
export function causeText(cause: unknown): string {
  if (cause instanceof AggregateError && cause.message === '') return causeText(cause.errors[0]);
  if (!(cause instanceof Error)) return '';
  return cause.message.replaceAll(/\s+/g, ' ').trim().slice(0, CAUSE_LENGTH);
}
