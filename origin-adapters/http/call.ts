/**
 * One request to the origin from the wait for a connection to its end, through as many tries as it may have.
 */
import { finished } from 'node:stream';
import type { Duplex } from 'node:stream';
import type { Fields } from '../../policies/http/fields.ts';
import type { OriginCall, OriginFailure, OriginRequest, OriginStats } from '../origin.ts';
import { OriginAttempt } from './attempt.ts';
import type { AttemptListener, FailedAttempt } from './attempt.ts';
import { BreakerOpen } from './breaker.ts';
import type { CallHandler } from './call-handler.ts';
import { isConnectionFailure, originFailure } from './failure.ts';
import type { Cancel, Lease, Leases } from './leases.ts';
import { dispatchOptions } from './request.ts';

export interface CallOptions {
  /** The protocol to switch to, or null. */
  readonly upgrade: string | null;
  readonly headersTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly queueTimeoutMs: number;
  readonly retries: number;
}

export interface CallSurroundings {
  readonly leases: Leases;
  readonly clock: { monotonicMs(): number };
  readonly stats: OriginStats;
  /** Hears of each try; the URL is null where none was tried. */
  failed(url: string | null, failure: OriginFailure): void;
  answered(url: string, status: number): void;
  /** The call has ended, in whichever way. */
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
  /** A connection kept alive may fail a request that is not to blame: that costs no retry, once. */
  #staleForgiven = false;
  #cancelWait: Cancel = () => undefined;
  #attempt: OriginAttempt | null = null;
  #tunnel: Duplex | null = null;
  #url = '';
  #status = 0;
  /** Of any try: a later one that was refused does not undo an earlier one. */
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

  /** Ends the call because the origin is left alone. */
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
    // Not at once: undici is still busy with the connection that failed.
    queueMicrotask(() => {
      if (!this.#over && !this.#failing) this.#acquire(failed.reused);
    });
  }

  /** RFC 9110 §9.2.2: only what was surely not processed, or is safe, is sent again. */
  #decideRetry({ failure, heard, reused }: FailedAttempt): 'retry' | 'retry-fresh' | 'give-up' {
    if (heard || !isConnectionFailure(failure.kind) || !this.#isRepeatable(failure)) return 'give-up';
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
    this.#cancelWait = this.#around.leases.acquire({
      priority: this.#request.priority,
      fresh,
      tried: this.#tried,
      patienceMs: this.#queueDeadlineMs - this.#around.clock.monotonicMs(),
      granted: (lease) => this.#try(lease),
      refused: (failure) => {
        this.#around.failed(null, failure);
        this.#fail(failure);
      },
    });
  }

  #try(lease: Lease): void {
    this.#url = lease.connection.pool.url;
    const attempt = new OriginAttempt(
      lease,
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

  /** Told in a turn of its own, so that nobody hears of a failure before `send` has returned. */
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

  /** The client's body broke off; what the origin has of it must not look whole. */
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
