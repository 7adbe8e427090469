/** One request to the origin, from waiting for a connection to its end, over all attempts. */
import { finished } from 'node:stream';
import type { Duplex } from 'node:stream';
import type { Fields } from '../../policies/http/fields.ts';
import type { OriginCall, OriginFailure, OriginRequest, OriginStats } from '../origin.ts';
import { OriginAttempt } from './attempt.ts';
import type { AttemptListener, FailedAttempt } from './attempt.ts';
import { BreakerOpen } from './breaker.ts';
import type { CallHandler } from './call-handler.ts';
import { isConnectionFailure, originFailure } from './failure.ts';
import type { Cancel, Checkout, Checkouts } from './checkouts.ts';
import { dispatchOptions } from './request.ts';

export interface CallOptions {
  /** The protocol to switch to; null: none. */
  readonly upgrade: string | null;
  readonly headersTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly queueTimeoutMs: number;
  readonly retries: number;
}

export interface CallSurroundings {
  readonly checkouts: Checkouts;
  readonly clock: { monotonicMs(): number };
  readonly stats: OriginStats;
  /** Called for each attempt; the URL is null if none was tried. */
  failed(url: string | null, failure: OriginFailure): void;
  answered(url: string, status: number): void;
  /** The call has ended, with whatever result. */
  ended(call: Call): void;
}

export class Call implements OriginCall, AttemptListener {
  readonly #request: OriginRequest;
  readonly #handler: CallHandler;
  readonly #options: CallOptions;
  readonly #around: CallSurroundings;
  readonly #queueDeadlineMs: number;
  readonly #tried = new Set<string>();
  #retriesLeft: number;
  /** A kept-alive connection may fail through no fault of the request: one retry for that is free. */
  #staleForgiven = false;
  #cancelWait: Cancel = () => undefined;
  #attempt: OriginAttempt | null = null;
  #tunnel: Duplex | null = null;
  #url = '';
  #status = 0;
  /** Of any attempt: a later refused attempt does not undo an earlier one. */
  #maybeProcessed = false;
  #paused = false;
  #failing = false;
  #over = false;

  constructor(
    request: OriginRequest,
    handler: CallHandler,
    options: CallOptions,
    surroundings: CallSurroundings,
  ) {
    this.#request = request;
    this.#handler = handler;
    this.#options = options;
    this.#around = surroundings;
    this.#retriesLeft = options.retries;
    this.#queueDeadlineMs = surroundings.clock.monotonicMs() + options.queueTimeoutMs;
  }

  start(): void {
    const { body } = this.#request;
    if (body !== null && !(body instanceof Uint8Array)) {
      finished(body, { writable: false }, (error) => {
        if (error) this.#failForBody(error);
      });
    }
    this.#acquire(false);
  }

  pause(): void {
    this.#paused = true;
    this.#attempt?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#attempt?.resume();
  }

  abort(cause?: 'client-left'): void {
    if (this.#over) return;
    if (cause === 'client-left' && this.#attempt !== null) this.#around.stats.abandoned++;
    this.#end();
    this.#cancelWait();
    this.#attempt?.abort();
    this.#tunnel?.destroy();
  }

  hasSent(): boolean {
    return this.#maybeProcessed || this.#attempt?.hasSent === true;
  }

  /** Ends the call because the adapter closes. */
  terminate(): void {
    if (this.#over) return;
    const sent = this.#attempt !== null;
    this.abort();
    if (this.#tunnel !== null) return;
    this.#around.stats.failures++;
    this.#handler.onFailure(
      originFailure('connection_terminated', 'Weir is closing', sent || this.#maybeProcessed, null),
    );
  }

  /** Ends the call because the breaker is open. */
  refuse(): void {
    if (this.#over) return;
    this.#end();
    this.#around.stats.failures++;
    const cause = new BreakerOpen();
    const failure = originFailure('destination_unavailable', cause.message, false, cause);
    this.#around.failed(null, failure);
    this.#handler.onFailure(failure);
  }

  onInformational(status: number, fields: Fields): void {
    this.#handler.onInformational(status, fields);
  }

  onHead(status: number, fields: Fields): void {
    this.#status = status;
    this.#handler.onHead(status, fields);
  }

  onData(chunk: Uint8Array): void {
    this.#handler.onData(chunk);
  }

  onEnd(trailers: Fields): void {
    this.#end();
    this.#around.answered(this.#url, this.#status);
    this.#handler.onEnd(trailers);
  }

  onSwitched(fields: Fields, socket: Duplex): void {
    this.#tunnel = socket;
    socket.once('close', () => this.#end());
    this.#around.answered(this.#url, 101);
    this.#handler.onSwitched(fields, socket);
  }

  onFailed(failed: FailedAttempt): void {
    this.#attempt = null;
    this.#maybeProcessed ||= failed.failure.maybeProcessed;
    const decision = this.#decideRetry(failed);
    if (decision !== 'retry-fresh') this.#around.failed(this.#url, failed.failure);
    switch (decision) {
      case 'give-up':
        return this.#fail(failed.failure);
      case 'retry-fresh':
        this.#staleForgiven = true;
        break;
      case 'retry':
        this.#retriesLeft--;
        this.#tried.add(this.#url);
        break;
    }
    this.#around.stats.retries++;
    // Asynchronous, because undici is still busy with the failed connection.
    queueMicrotask(() => {
      if (!this.#over && !this.#failing) this.#acquire(failed.reused);
    });
  }

  /** RFC 9110 §9.2.2: only a request that is safe, or was certainly not processed, is repeated. */
  #decideRetry({ failure, hasResponded, reused }: FailedAttempt): 'retry' | 'retry-fresh' | 'give-up' {
    if (hasResponded || !isConnectionFailure(failure.kind) || !this.#isRepeatable(failure)) return 'give-up';
    if (reused && !this.#staleForgiven) return 'retry-fresh';
    return this.#retriesLeft > 0 ? 'retry' : 'give-up';
  }

  #isRepeatable(failure: OriginFailure): boolean {
    const { method, body } = this.#request;
    if (body !== null && !(body instanceof Uint8Array) && (body.destroyed || body.readableDidRead))
      return false;
    return !failure.maybeProcessed || (body === null && safeMethods.has(method));
  }

  #acquire(fresh: boolean): void {
    this.#cancelWait = this.#around.checkouts.acquire({
      priority: this.#request.priority,
      fresh,
      tried: this.#tried,
      maxWaitMs: this.#queueDeadlineMs - this.#around.clock.monotonicMs(),
      granted: (checkout) => this.#try(checkout),
      refused: (failure) => {
        this.#around.failed(null, failure);
        this.#fail(failure);
      },
    });
  }

  #try(checkout: Checkout): void {
    this.#url = checkout.connection.pool.url;
    const attempt = new OriginAttempt(
      checkout,
      {
        request: this.#request,
        dispatch: dispatchOptions(this.#request, this.#options.upgrade),
        headersTimeoutMs: this.#options.headersTimeoutMs,
        bodyTimeoutMs: this.#request.unboundedBody ? 0 : this.#options.bodyTimeoutMs,
      },
      this,
    );
    if (this.#over) return;
    this.#attempt = attempt;
    if (this.#paused) attempt.pause();
  }

  /** Asynchronous, so that no failure is reported before `send` has returned. */
  #fail(failure: OriginFailure): void {
    if (this.#failing) return;
    this.#failing = true;
    queueMicrotask(() => {
      if (this.#over) return;
      this.#end();
      this.#around.stats.failures++;
      const maybeProcessed = failure.maybeProcessed || this.#maybeProcessed;
      this.#handler.onFailure({ ...failure, maybeProcessed });
    });
  }

  /** The client's content was cut off: the origin must not take what it has for complete. */
  #failForBody(error: Error): void {
    if (this.#over || this.#failing) return;
    const sent = this.#attempt !== null;
    this.#cancelWait();
    if (sent) this.#around.stats.abandoned++;
    this.#attempt?.abort();
    this.#fail(originFailure('proxy_internal_error', "the request's body was cut short", sent, error));
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#around.ended(this);
  }
}

const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);
