import type { Duplex, Readable } from 'node:stream';
import type { Fields } from '../../policies/http/fields.ts';
import type { SharedFields } from '../../policies/http/shared-fields.ts';

/**
 * One request and the functions that respond to it. The listener creates it. The request path outside `http/` knows no
 * sockets.
 *
 * Exactly one of `respond`, `respondShared`, `stream` and `tunnel` is called, once. `abort` may be called at any time.
 */
export interface Exchange {
  readonly method: string;
  /** The HTTP version: `1.0` or `1.1`. */
  readonly version: string;
  /** Path and query in origin-form, as received: begins with `/`, or is `*` for OPTIONS. Not normalised. */
  readonly target: string;
  /** The effective authority in lower case, with the port if one was given: from an absolute target, else from Host. */
  readonly authority: string;
  readonly scheme: 'http' | 'https';
  /**
   * As received, without those that `listen.underscores` drops. Host is rewritten if an absolute target overrides it, and
   * several Cookie fields are joined.
   */
  readonly fields: Fields;
  /** The address of the connection's peer, whatever the forwarding fields say. */
  readonly remoteAddress: string;
  /** When the head was complete, in monotonic milliseconds. */
  readonly startedAt: number;
  /** The request's content, bounded by `listen.limits.body`; null: the request has none. */
  readonly body: Readable | null;
  /** The protocols that the client offers to switch to (Upgrade), such as `websocket`; null: none. */
  readonly upgrade: readonly string[] | null;
  /** True once the client has gone or the response is complete. */
  readonly closed: boolean;

  /** Called once when the client leaves before the response is complete, at once if it has already left. */
  onGone(listener: () => void): void;
  /** Called once when the exchange has ended, complete or not, with the bytes of content sent. */
  onEnd(listener: (end: { readonly complete: boolean; readonly bytes: number }) => void): void;
  /** Sends an interim response (1xx, not 101). RFC 9110 §15.2. */
  inform(status: number, fields: Fields): void;
  /** Sends a whole response. The listener frames it, and omits the content for HEAD, 204 and 304. */
  respond(status: number, fields: readonly string[], content: Uint8Array | null): void;
  /**
   * As `respond`, with the shared fields followed by `own`. The listener renders both once and keeps the lines with them, so
   * their fields must not change.
   */
  respondShared(status: number, shared: SharedFields, own: SharedFields, content: Uint8Array | null): void;
  /** Sends the head and returns the sink for the content. */
  stream(status: number, fields: readonly string[]): ResponseSink;
  /** Responds with 101 (or the given status) and joins the two byte streams. */
  tunnel(status: number, fields: readonly string[], origin: Duplex, head: Uint8Array): void;
  /** Closes the connection so that the client sees that the response is incomplete. */
  abort(): void;
}

export interface ResponseSink {
  /** False: wait for `onDrain` before the next write. The chunk is not changed afterwards. */
  write(chunk: Uint8Array): boolean;
  /** Called each time the sink accepts more after a false `write`. */
  onDrain(listener: () => void): void;
  end(trailers?: Fields): void;
}
