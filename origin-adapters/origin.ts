import type { Duplex, Readable } from 'node:stream';
import type { Fields } from '../policies/http/fields.ts';

/** The HTTP server behind Weir, as the proxy sees it. */
export interface Origin {
  readonly name: string;
  /**
   * Sends one request. Never throws; the handler hears exactly one of `onEnd` and `onFailure`, last and once, unless
   * the call was aborted, after which it hears nothing.
   */
  send(request: OriginRequest, handler: OriginHandler): OriginCall;
  /** Asks for a protocol switch; resolves with the socket, or with the origin's refusal as an ordinary response. */
  upgrade(request: OriginRequest, protocol: string): Promise<UpgradeResult>;
  readonly stats: OriginStats;
  /** Waits for calls under way for at most `graceMs`, then ends them. */
  close(graceMs: number): Promise<void>;
}

export interface OriginRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  /** End-to-end fields, Host included where the origin is to see the client's. */
  readonly fields: Fields;
  readonly body: Readable | Uint8Array | null;
  /** Background requests wait behind clients' in the origin's queue. */
  readonly priority: 'client' | 'background';
  /** No limit between two chunks of the body: for `text/event-stream` and the like. */
  readonly unboundedBody: boolean;
}

export interface OriginHandler {
  onInformational(status: number, fields: Fields): void;
  onHead(status: number, fields: Fields): void;
  /** The chunk is the handler's own. Call `pause` on the call to hold back what follows. */
  onData(chunk: Uint8Array): void;
  /** The body is whole: its framing was complete and Content-Length, where given, was met. */
  onEnd(trailers: Fields): void;
  onFailure(failure: OriginFailure): void;
}

export interface OriginCall {
  pause(): void;
  resume(): void;
  /** `cause` is counted. */
  abort(cause?: 'client-left'): void;
  /** Whether anything of the request may have gone to the origin; absent: it may have. */
  hasSent?(): boolean;
}

/** Why there is no (whole) answer. `kind` is the Proxy-Status error type (RFC 9209 §2.3). */
export interface OriginFailure {
  readonly kind:
    | 'dns_error'
    | 'dns_timeout'
    | 'destination_unavailable'
    | 'destination_ip_unroutable'
    | 'connection_refused'
    | 'connection_terminated'
    | 'connection_timeout'
    | 'connection_read_timeout'
    | 'connection_write_timeout'
    | 'connection_limit_reached'
    | 'tls_protocol_error'
    | 'tls_certificate_error'
    | 'http_response_incomplete'
    | 'http_response_timeout'
    | 'http_response_header_section_size'
    | 'http_protocol_error'
    | 'proxy_internal_error';
  /** What Weir answers where nothing was sent yet. */
  readonly status: 502 | 503 | 504;
  /** For logs and operators; no secrets, no stack. */
  readonly message: string;
  /** False only where it is sure that the origin has not begun to process the request. */
  readonly maybeProcessed: boolean;
  readonly cause: unknown;
}

/** Hears how an origin does, try by try, so that also failures that a retry made good are known. */
export interface OriginObserver {
  /** `url` is its place in the configuration; null: no connection could be had, or the origin is left alone. */
  failed(url: number | null, failure: OriginFailure): void;
  /** An answer was whole, or a protocol was switched. */
  answered(url: number, status: number): void;
}

export type UpgradeResult =
  | { readonly kind: 'switched'; readonly fields: Fields; readonly socket: Duplex; readonly head: Uint8Array }
  | { readonly kind: 'refused'; readonly status: number; readonly fields: Fields; readonly body: Readable }
  | { readonly kind: 'failed'; readonly failure: OriginFailure };

export interface OriginStats {
  requests: number;
  /** Requests under way whose connection was closed, for the client had left. */
  abandoned: number;
  failures: number;
  retries: number;
  running: number;
  queued: number;
}
