/** The responses that Weir makes itself because it can't serve a request: one row for each code. */
import { VIA } from '../../policies/http/forwarding.ts';
import { proxyStatus } from '../../policies/http/proxy-status.ts';
import type { Outcome } from '../observability/outcome.ts';
import { problem, type Problem } from './problem.ts';
import { REASON_PHRASES } from './reason-phrases.ts';

export interface ErrorRow {
  readonly status: number;
  /** For the client: no secrets. `{name}` stands for a value of this occurrence. */
  readonly detail: string;
  /** RFC 9209 §2.3; absent: the response has no Proxy-Status. */
  readonly proxyError?: string;
  /** Whether the client may try again at once (RFC 9110 §10.2.3). */
  readonly retry?: true;
  /** The outcome in the access record; absent: `refused`. */
  readonly outcome?: Outcome;
  /** The reason in the access record; absent: the code. */
  readonly reason?: string;
}

/** Errors that the listener answers without the request path: before an exchange begins, or when it can't go on. */
const LISTENER = {
  'malformed-request': { status: 400, detail: '{fault}', proxyError: 'http_request_error' },
  'head-timeout': {
    status: 408,
    detail: 'The request was not complete after {limit} ms.',
    proxyError: 'http_request_error',
  },
  'content-timeout': {
    status: 408,
    detail: 'The content of the request arrived at less than {limit} bytes a second.',
    proxyError: 'http_request_error',
  },
  'content-too-large': {
    status: 413,
    detail: 'The content is larger than {limit} bytes.',
    proxyError: 'http_request_denied',
  },
  'chunk-extensions-too-large': {
    status: 413,
    detail: 'The chunk extensions are too large.',
    proxyError: 'http_request_denied',
  },
  'target-too-long': {
    status: 414,
    detail: 'The request target is longer than {limit} bytes.',
    proxyError: 'http_request_denied',
  },
  'unknown-expectation': {
    status: 417,
    detail: 'The only expectation supported is 100-continue.',
    proxyError: 'http_request_error',
  },
  misdirected: {
    status: 421,
    detail: 'This connection accepts only requests for {scheme} targets.',
    proxyError: 'http_request_error',
  },
  'too-many-fields': {
    status: 431,
    detail: 'The request has more than {limit} header fields.',
    proxyError: 'http_request_denied',
  },
  'fields-too-large': {
    status: 431,
    detail: 'The header fields are larger than {limit} bytes.',
    proxyError: 'http_request_denied',
  },
  'internal-error': {
    status: 500,
    detail: 'The request could not be processed.',
    proxyError: 'proxy_internal_error',
  },
  connect: { status: 501, detail: 'CONNECT is not supported.', proxyError: 'http_request_error' },
  'unknown-method': {
    status: 501,
    detail: 'The request method is not supported.',
    proxyError: 'http_request_error',
  },
  'unknown-coding': {
    status: 501,
    detail: 'The only transfer coding supported is chunked.',
    proxyError: 'http_request_error',
  },
  'invalid-status': {
    status: 502,
    detail: 'The response has no valid status.',
    proxyError: 'http_protocol_error',
  },
  'too-many-connections': {
    status: 503,
    detail: 'This server accepts at most {limit} connections.',
    proxyError: 'http_request_denied',
  },
  'unknown-version': {
    status: 505,
    detail: 'This server supports HTTP/1.0 and HTTP/1.1.',
    proxyError: 'http_request_error',
  },
} as const satisfies Record<string, ErrorRow>;

/** Errors with which the request path ends an exchange. The code is also the detail of the Cache-Status field. */
const EXCHANGE = {
  'malformed-target': {
    status: 400,
    detail: 'The request target is ambiguous.',
    proxyError: 'http_request_error',
  },
  'ambiguous-path': {
    status: 400,
    detail: 'The path has a dot segment once it is decoded.',
    proxyError: 'http_request_error',
  },
  'forwarding-conflict': {
    status: 400,
    detail: 'The Forwarded and X-Forwarded-* fields contradict each other.',
    proxyError: 'http_request_error',
  },
  'no-route': {
    status: 404,
    detail: 'No route matches this path.',
    proxyError: 'destination_not_found',
    outcome: 'no-route',
    reason: '',
  },
  'method-not-allowed': {
    status: 405,
    detail: 'No route of this path accepts this method.',
    proxyError: 'http_request_error',
    outcome: 'method-not-allowed',
    reason: '',
  },
  loop: {
    status: 508,
    detail: 'The request has passed through Weir too often: its origins lead back to it.',
    proxyError: 'proxy_loop_detected',
  },

  'only-if-cached': {
    status: 504,
    detail: 'No stored response satisfies this only-if-cached request.',
  },
  'range-not-satisfiable': { status: 416, detail: 'No requested range overlaps the content.' },
  waiters: {
    status: 503,
    detail: 'Too many requests already wait for the origin.',
    proxyError: 'connection_limit_reached',
    retry: true,
  },
  waiting: {
    status: 503,
    detail: 'Too many requests already wait for the origin.',
    proxyError: 'connection_limit_reached',
    retry: true,
  },
  'origin-failed': {
    status: 502,
    detail: 'The origin gave no usable response ({kind}).',
    proxyError: '{kind}',
    outcome: 'failed',
    reason: '{kind}',
  },
  failing: {
    status: 502,
    detail: 'The origin is failing for this request.',
    proxyError: 'destination_unavailable',
    retry: true,
    outcome: 'failed',
    reason: 'destination_unavailable',
  },

  stopping: { status: 503, detail: 'Weir is stopping.', retry: true },
  held: {
    status: 503,
    detail: 'Too many writes are in progress or of unknown outcome.',
    proxyError: 'http_request_denied',
    retry: true,
  },
  'held-per-client': {
    status: 429,
    detail: 'Too many writes of this client are in progress or of unknown outcome.',
    proxyError: 'http_request_denied',
    retry: true,
  },
  busy: {
    status: 503,
    detail: 'Earlier writes to this URL have not been delivered yet.',
    retry: true,
  },
  'not-durable': {
    status: 503,
    detail: 'The write could not be made durable and was not accepted.',
    retry: true,
  },
  full: { status: 503, detail: 'The journal is full: the write was not accepted.', retry: true },
  receiving: {
    status: 503,
    detail: 'Too much content of other writes is being received: the write was not accepted.',
    retry: true,
  },
  'too-large': { status: 413, detail: 'This route accepts content of at most {limit} bytes.' },
  'key-reused': {
    status: 422,
    detail: 'This Idempotency-Key was sent before with a different request.',
  },
  pending: {
    status: 404,
    detail: 'A waiting write deletes this resource.',
    outcome: 'hit',
  },

  'purge-disabled': {
    status: 403,
    detail: 'PURGE requires admin.token to be configured.',
    outcome: 'purge',
    reason: 'refused',
  },
  'purge-unauthorized': {
    status: 401,
    detail: 'PURGE requires the admin token.',
    outcome: 'purge',
    reason: 'refused',
  },
  'purge-malformed': {
    status: 400,
    detail: 'The request target is ambiguous.',
    outcome: 'purge',
    reason: 'refused',
  },
  'purge-wildcard': {
    status: 400,
    detail: 'PURGE takes one URL without wildcards.',
    outcome: 'purge',
    reason: 'refused',
  },
  'purge-not-durable': {
    status: 503,
    detail: 'The purge is in force but could not be written to disk.',
    outcome: 'purge',
    reason: 'refused',
  },
  delivery: { status: 400, detail: '{detail}' },
} as const satisfies Record<string, ErrorRow>;

export const ERROR_RESPONSES = { ...LISTENER, ...EXCHANGE };

export type ListenerErrorCode = keyof typeof LISTENER;
export type ErrorCode = keyof typeof EXCHANGE;

/** The values that a row's text names. */
export type ErrorValues = Readonly<Record<string, string | number>>;

/**
 * The problem document of a row. `status` replaces the row's. With the type `about:blank` a title is the status's phrase
 * (RFC 9457 §4.2.1).
 */
export function errorDocument(
  { status: usual, detail, retry }: ErrorRow,
  values: ErrorValues = {},
  status: number = usual,
): Problem {
  const document = problem(status, REASON_PHRASES[status] ?? 'Server Error', filled(detail, values));
  if (retry !== true) return document;
  return { ...document, fields: [...document.fields, 'Retry-After', '1'] };
}

/** The response of the listener. It has no Cache-Status, because no lookup took place. */
export function listenerError(code: ListenerErrorCode, values: ErrorValues = {}): Problem {
  const row = LISTENER[code];
  const { status, fields, content } = errorDocument(row, values);
  const error = proxyStatus({ error: row.proxyError });
  return { status, fields: [...fields, 'Proxy-Status', error, 'Via', VIA], content };
}

/** A row's text with its values; a placeholder without a value stays. */
export function filled(text: string, values: ErrorValues): string {
  return text.replaceAll(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place));
}
