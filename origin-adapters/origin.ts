import type { Duplex, Readable } from 'node:stream';
import type { Fields } from '../policies/http/fields.ts';

/** The HTTP server behind Weir, as the proxy uses it. */
export interface Origin {
  readonly name: string;
  /**
   * Sends one request. Never throws. Exactly one of `onEnd` and `onFailure` is called, once and last. After `abort`
   * nothing is called.
   */
  send(request: OriginRequest, handler: OriginHandler): OriginCall;
  /**
   * Requests a switch of protocols; resolves with the socket, or with the origin's refusal as an ordinary response.
   */
  upgrade(request: OriginRequest, protocol: string): Promise<UpgradeResult>;
  readonly stats: OriginStats;
  /** Waits at most `graceMs` for calls in progress, then ends them. */
  close(graceMs: number): Promise<void>;
}

export interface OriginRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  /** End-to-end fields; includes Host where the origin sees the client's. */
  readonly fields: Fields;
  readonly body: Readable | Uint8Array | null;
  /** Background requests queue behind those of clients. */
  readonly priority: 'client' | 'background';
  /** No timeout between two chunks of the body, for `text/event-stream` and similar content. */
  readonly unboundedBody: boolean;
}

export interface OriginHandler {
  onInformational(status: number, fields: Fields): void;
  onHead(status: number, fields: Fields): void;
  /** The handler owns the chunk. `pause` on the call stops further chunks. */
  onData(chunk: Uint8Array): void;
  /** The body is complete: its framing ended properly and it has the stated Content-Length, if any. */
  onEnd(trailers: Fields): void;
  onFailure(failure: OriginFailure): void;
}

export interface OriginCall {
  pause(): void;
  resume(): void;
  /** Calls with a `cause` are counted. */
  abort(cause?: 'client-left'): void;
  /** Whether any byte of the request may have been sent; absent: it may. */
  hasSent?(): boolean;
}

/** The reason for a missing or incomplete response. `kind` is the Proxy-Status error type (RFC 9209 §2.3). */
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
  /** The status of Weir's response if none was started. */
  readonly status: 502 | 503 | 504;
  /** For logs and operators; no secrets, no stack. */
  readonly message: string;
  /** False only if the origin certainly has not begun to process the request. */
  readonly maybeProcessed: boolean;
  readonly cause: unknown;
}

/** Notified of each attempt's result, including failures after which a retry succeeded. */
export interface OriginObserver {
  /** `url`: index in the configuration; null: no connection was available, or the breaker is open. */
  failed(url: number | null, failure: OriginFailure): void;
  /** A response was complete, or the protocol was switched. */
  answered(url: number, status: number): void;
}

export type UpgradeResult =
  | { readonly kind: 'switched'; readonly fields: Fields; readonly socket: Duplex; readonly head: Uint8Array }
  | { readonly kind: 'refused'; readonly status: number; readonly fields: Fields; readonly body: Readable }
  | { readonly kind: 'failed'; readonly failure: OriginFailure };

export interface OriginStats {
  requests: number;
  /** Requests in progress whose connection was closed because the client left. */
  abandoned: number;
  failures: number;
  retries: number;
  running: number;
  queued: number;
}
