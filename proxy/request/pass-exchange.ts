import type { Readable } from 'node:stream';
import { cacheStatus, type CacheStatus } from '../../policies/http/cache-status.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { endToEnd, VIA } from '../../policies/http/forwarding.ts';
import { interimFields } from '../../policies/http/interim.ts';
import type { Origin, OriginCall, OriginFailure, OriginHandler } from '../../origin-adapters/origin.ts';
import type { Exchange, ResponseSink } from '../http/exchange.ts';

/** A request that goes to the origin for one client alone. */
export interface PassRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly fields: Fields;
  readonly body: Readable | null;
  readonly unboundedBody: boolean;
  /**
   * How long to wait for the response's head when the client has gone but the origin has the whole request. Absent: the
   * request ends with its client.
   */
  readonly outlivesClientMs?: number;
  /** The content has been received whole, whether or not the origin has read it. */
  readonly isWhole?: boolean;
}

export interface PassEvents {
  /** Called first. True: the caller responds itself, and no other event follows. */
  readonly onStatus?: (status: number) => boolean;
  /** The response's head. The returned fields are added, and awaited before the client gets the head. */
  onHead(status: number, fields: Fields): Promise<Fields> | Fields;
  /** A chunk of content, as it is sent to the client. */
  onContent(chunk: Uint8Array): void;
  /** The response's fields as the client is sent them. */
  told(status: number, fields: Fields): Fields;
  onEnd(): void;
  /** Nothing was sent yet: the caller responds. */
  onFailure(failure: OriginFailure): void;
  /** The client has gone, or the response broke off after its head; `hasSent`: the origin may have some of the request. */
  onCut(hasSent: boolean): void;
}

/** Passes one request to the origin and streams the response back, with back pressure in both directions. */
export function passToOrigin(
  exchange: Exchange,
  origin: Origin,
  request: PassRequest,
  status: CacheStatus,
  events: PassEvents,
): void {
  new Pass(exchange, origin, request, status, events).start();
}

class Pass implements OriginHandler {
  readonly #exchange: Exchange;
  readonly #origin: Origin;
  readonly #request: PassRequest;
  readonly #status: CacheStatus;
  readonly #events: PassEvents;
  #call: OriginCall | null = null;
  #sink: ResponseSink | null = null;
  /** Content that arrived while the head was held back. */
  #early: Uint8Array[] = [];
  #earlyEnd: Fields | null = null;
  #isOver = false;
  #isClientGone = false;
  #hasHead = false;
  #abandonment: NodeJS.Timeout | null = null;

  constructor(
    exchange: Exchange,
    origin: Origin,
    request: PassRequest,
    status: CacheStatus,
    events: PassEvents,
  ) {
    this.#exchange = exchange;
    this.#origin = origin;
    this.#request = request;
    this.#status = status;
    this.#events = events;
  }

  start(): void {
    this.#call = this.#origin.send({ ...this.#request, priority: 'client' }, this);
    this.#exchange.onGone(() => this.#clientGone());
  }

  onInformational(status: number, fields: Fields): void {
    this.#exchange.inform(status, interimFields(fields));
  }

  onHead(status: number, fields: Fields): void {
    this.#hasHead = true;
    if (this.#abandonment !== null) clearTimeout(this.#abandonment);
    if (this.#events.onStatus?.(status) === true) {
      this.#isOver = true;
      this.#call?.abort();
      return;
    }
    const more = this.#events.onHead(status, fields);
    if (!(more instanceof Promise)) {
      this.#begin(status, fields, more);
      return;
    }
    this.#call?.pause();
    more.then(
      (added) => {
        this.#begin(status, fields, added);
        this.#call?.resume();
      },
      (error: unknown) => {
        this.#call?.abort();
        this.onFailure(internalFailure(error));
      },
    );
  }

  onData(chunk: Uint8Array): void {
    if (this.#isClientGone) return;
    if (this.#sink === null) {
      this.#early.push(chunk);
      return;
    }
    this.#events.onContent(chunk);
    if (!this.#sink.write(chunk)) this.#call?.pause();
  }

  onEnd(trailers: Fields): void {
    if (this.#isClientGone) this.#cut();
    else if (this.#sink === null) this.#earlyEnd = trailers;
    else this.#end(trailers);
  }

  onFailure(failure: OriginFailure): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#abandonment !== null) clearTimeout(this.#abandonment);
    if (this.#sink === null) this.#events.onFailure(failure);
    else if (this.#isClientGone) this.#events.onCut(true);
    else {
      this.#exchange.abort();
      this.#events.onCut(true);
    }
  }

  #begin(status: number, fields: Fields, more: Fields): void {
    if (this.#isOver) return;
    if (this.#isClientGone) {
      this.#call?.abort('client-left');
      this.#cut();
      return;
    }
    const cache = cacheStatus({ ...this.#status, fwdStatus: status });
    const sent = [...endToEnd(this.#events.told(status, fields)), 'Via', VIA, 'Cache-Status', cache, ...more];
    this.#sink = this.#exchange.stream(status, sent);
    this.#sink.onDrain(() => this.#call?.resume());
    for (const chunk of this.#early.splice(0)) this.onData(chunk);
    if (this.#earlyEnd !== null) this.#end(this.#earlyEnd);
  }

  #end(trailers: Fields): void {
    if (this.#isOver) return;
    this.#isOver = true;
    // First what follows from the response: a client that has all of it may send its next request at once.
    this.#events.onEnd();
    this.#sink?.end(endToEnd(trailers));
  }

  #clientGone(): void {
    if (this.#isOver) return;
    const { outlivesClientMs, isWhole, body } = this.#request;
    const hasAll = isWhole === true || body === null || body.readableEnded;
    if (outlivesClientMs !== undefined && !this.#hasHead && hasAll) {
      this.#isClientGone = true;
      this.#abandonment = setTimeout(() => this.#abandon(), outlivesClientMs).unref();
      return;
    }
    this.#abandon();
  }

  /** Frees the connection to the origin. */
  #abandon(): void {
    if (this.#isOver) return;
    const hasSent = this.#hasHead || (this.#call?.hasSent?.() ?? true);
    this.#call?.abort('client-left');
    this.#cut(hasSent);
  }

  #cut(hasSent = true): void {
    this.#isOver = true;
    this.#events.onCut(hasSent);
  }
}

function internalFailure(cause: unknown): OriginFailure {
  const message = cause instanceof Error ? cause.message : String(cause);
  return { kind: 'proxy_internal_error', status: 502, message, maybeProcessed: true, cause };
}
