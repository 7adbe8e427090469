/**
 * One request to the origin, over all attempts. It is the handler of undici's events itself, and holds the attempt's
 * connection: a request allocates no other object of this adapter.
 */
import { finished } from 'node:stream';
import type { Duplex } from 'node:stream';
import type { Dispatcher } from 'undici';
import { isEventStream } from '../../policies/http/event-stream.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { hasField } from '../../policies/http/fields.ts';
import type { OriginCall, OriginFailure, OriginRequest, OriginStats } from '../origin.ts';
import { faultOfHead } from './answer-head.ts';
import { BreakerOpen, isOfWeir } from './breaker.ts';
import type { Breaker } from './breaker.ts';
import type { CallHandler } from './call-handler.ts';
import { failureOf, isConnectionFailure, originFailure } from './failure.ts';
import type { Stage } from './failure.ts';
import type { CheckoutRequest, Checkouts } from './checkouts.ts';
import type { ConnectionTimer, TimerOwner } from './connection-timer.ts';
import type { OriginConnection } from './connections.ts';
import { dispatchOptions } from './request.ts';

/** The state that all calls of one origin share. */
export interface CallSurroundings {
  readonly checkouts: Checkouts;
  readonly clock: { monotonicMs(): number };
  readonly stats: OriginStats;
  /** null: none. */
  readonly breaker: Breaker | null;
  /** The longest time from the end of the request to a response head; an interim head restarts it. */
  readonly headersTimeoutMs: number;
  /** The longest time between two chunks of the body; 0: no limit. Event streams have no limit. */
  readonly bodyTimeoutMs: number;
  readonly queueTimeoutMs: number;
  readonly retries: number;
  /** Called for each attempt; the URL is null if none was tried. */
  failed(url: string | null, failure: OriginFailure): void;
  answered(url: string, status: number): void;
  /** The call has ended, with whatever result. */
  ended(call: Call): void;
}

export class Call implements OriginCall, CheckoutRequest, TimerOwner, Dispatcher.DispatchHandler {
  readonly #request: OriginRequest;
  readonly #handler: CallHandler;
  /** The protocol to switch to; null: none. */
  readonly #upgrade: string | null;
  readonly #around: CallSurroundings;
  readonly #queueDeadlineMs: number;
  #retriesLeft: number;
  /** A kept-alive connection may fail through no fault of the request: one retry for that is free. */
  #staleForgiven = false;
  #tried: Set<string> | null = null;
  #needsFresh = false;
  #isQueued = false;
  #tunnel: Duplex | null = null;
  #url = '';
  #status = 0;
  /** The origin may have processed any of the attempts, of which a later refused one does not undo an earlier one. */
  #maybeProcessed = false;
  #paused = false;
  #failing = false;
  #over = false;

  // The attempt in progress. undici calls nothing of an attempt after `onResponseError`, which alone leads to another.
  /** Null: no attempt is in progress; events of undici are those of an attempt that was ended. */
  #connection: OriginConnection | null = null;
  #controller: Dispatcher.DispatchController | null = null;
  #stage: Stage = 'connecting';
  /** Any part of the response has arrived, possibly an interim one. */
  #hasResponded = false;
  /** The connection had carried requests before: the origin may have closed it while this request was in transit. */
  #reused = false;
  #endsWithConnection = false;
  #bodyTimeoutMs = 0;
  #timedOut: OriginFailure['kind'] | null = null;

  constructor(
    request: OriginRequest,
    handler: CallHandler,
    upgrade: string | null,
    surroundings: CallSurroundings,
  ) {
    this.#request = request;
    this.#handler = handler;
    this.#upgrade = upgrade;
    this.#around = surroundings;
    this.#retriesLeft = surroundings.retries;
    this.#queueDeadlineMs = surroundings.clock.monotonicMs() + surroundings.queueTimeoutMs;
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
    if (this.#connection === null) return;
    if (this.#stage === 'answered') this.#connection.bodyTimer.stop();
    this.#controller?.pause();
  }

  /** Asynchronous, because undici's parser must not be entered from within another parser's callback. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    queueMicrotask(() => {
      if (this.#paused || this.#connection === null) return;
      if (this.#stage === 'answered') this.#startBodyTimer();
      this.#controller?.resume();
    });
  }

  abort(cause?: 'client-left'): void {
    if (this.#over) return;
    if (cause === 'client-left' && this.#connection !== null) this.#around.stats.abandoned++;
    this.#end();
    this.#leaveQueue();
    this.#abortAttempt();
    this.#tunnel?.destroy();
  }

  hasSent(): boolean {
    return this.#maybeProcessed || (this.#connection !== null && this.#stage !== 'connecting');
  }

  /** Ends the call because the adapter closes. */
  terminate(): void {
    if (this.#over) return;
    const sent = this.#connection !== null;
    this.abort();
    if (this.#tunnel !== null) return;
    this.#around.stats.failures++;
    this.#tellFailure(
      originFailure('connection_terminated', 'Weir is closing', sent || this.#maybeProcessed, null),
    );
  }

  /** Ends the call, which was not started, because the breaker is open. */
  refuse(): void {
    if (this.#over) return;
    this.#end();
    this.#around.stats.failures++;
    const cause = new BreakerOpen();
    const failure = originFailure('destination_unavailable', cause.message, false, cause);
    this.#around.failed(null, failure);
    this.#handler.onFailure(failure);
  }

  get priority(): OriginRequest['priority'] {
    return this.#request.priority;
  }

  get fresh(): boolean {
    return this.#needsFresh;
  }

  hasTried(url: string): boolean {
    return this.#tried !== null && this.#tried.has(url);
  }

  leftMs(): number {
    return this.#queueDeadlineMs - this.#around.clock.monotonicMs();
  }

  granted(connection: OriginConnection): void {
    this.#isQueued = false;
    this.#url = connection.pool.url;
    this.#connection = connection;
    this.#controller = null;
    this.#stage = 'connecting';
    this.#hasResponded = false;
    this.#reused = false;
    this.#bodyTimeoutMs = this.#request.unboundedBody ? 0 : this.#around.bodyTimeoutMs;
    connection.dispatch(dispatchOptions(this.#request, this.#upgrade, connection.pool.serverName), this);
  }

  refused(failure: OriginFailure): void {
    this.#isQueued = false;
    this.#around.failed(null, failure);
    this.#fail(failure);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    const connection = this.#connection;
    if (connection === null) return controller.abort(new Error('given up by Weir'));
    this.#controller = controller;
    this.#stage = 'sent';
    this.#reused = connection.carried > 0;
    connection.beginRequest();
    if (this.#paused) controller.pause();
  }

  /** undici's own timers are up to a second late. They only limit the sending of the request. */
  onRequestSent(): void {
    if (this.#connection === null || this.#stage !== 'sent') return;
    this.#connection.headTimer.start(this.#around.headersTimeoutMs, this);
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (this.#connection === null) return;
    this.#hasResponded = true;
    const fields = fieldsOf(controller.rawHeaders);
    if (status < 200) {
      this.#connection.headTimer.refresh();
      this.#handler.onInformational(status, fields);
      return;
    }
    const fault = faultOfHead(this.#request, status, fields);
    if (fault !== null) {
      // The connection is closed first, so that it carries no other request.
      const connection = this.#endAttempt();
      controller.abort(new Error(fault));
      this.#failAttempt(connection, originFailure('http_protocol_error', fault, true, null));
      return;
    }
    this.#connection.headTimer.stop();
    this.#stage = 'answered';
    this.#endsWithConnection = !hasField(fields, 'content-length') && !hasField(fields, 'transfer-encoding');
    if (isEventStream(fields)) this.#bodyTimeoutMs = 0;
    this.#startBodyTimer();
    this.#status = status;
    if (status >= 500) this.#around.breaker?.failed(this.#around.clock.monotonicMs());
    else this.#around.breaker?.succeeded();
    this.#handler.onHead(status, fields);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#connection === null) return;
    this.#connection.bodyTimer.refresh();
    this.#handler.onData(chunk);
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    if (this.#connection === null) return;
    // RFC 9112 §8: a body without a length is complete only if the connection was closed in order, but undici also
    // accepts a reset as its end.
    const isCut = this.#endsWithConnection && this.#connection.broken;
    const connection = this.#endAttempt();
    if (isCut) {
      const failure = originFailure(
        'http_response_incomplete',
        'the connection was reset inside the body',
        true,
        null,
      );
      this.#failAttempt(connection, failure);
      return;
    }
    this.#around.checkouts.release(connection);
    this.#end();
    this.#around.answered(this.#url, this.#status);
    this.#handler.onEnd(fieldsOf(controller.rawTrailers));
  }

  onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    _status: number,
    _headers: unknown,
    socket: Duplex,
  ): void {
    // undici rejects a switch of protocols that was not requested.
    if (this.#connection === null || this.#handler.onSwitched === undefined) return void socket.destroy();
    const connection = this.#endAttempt();
    this.#tunnel = socket;
    // The connection counts as used until the tunnel is closed.
    socket.once('close', () => {
      this.#around.checkouts.release(connection);
      this.#end();
    });
    this.#around.answered(this.#url, 101);
    this.#around.breaker?.succeeded();
    this.#handler.onSwitched(fieldsOf(controller.rawHeaders), socket);
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#connection === null) return;
    const failure = failureOf(error, this.#stage, this.#timedOut);
    this.#failAttempt(this.#endAttempt(), failure);
  }

  timeIsOver(timer: ConnectionTimer): void {
    const isOfHead = timer === this.#connection?.headTimer;
    this.#timedOut = isOfHead ? 'http_response_timeout' : 'connection_read_timeout';
    this.#controller?.abort(new Error('timed out'));
  }

  #failAttempt(connection: OriginConnection, failure: OriginFailure): void {
    this.#around.checkouts.release(connection);
    this.#maybeProcessed ||= failure.maybeProcessed;
    const decision = this.#decideRetry(failure);
    if (decision !== 'retry-fresh') this.#around.failed(this.#url, failure);
    switch (decision) {
      case 'give-up':
        this.#fail(failure);
        return;
      case 'retry-fresh':
        this.#staleForgiven = true;
        break;
      case 'retry':
        this.#retriesLeft--;
        (this.#tried ??= new Set()).add(this.#url);
        break;
      default:
        decision satisfies never;
    }
    this.#around.stats.retries++;
    const reused = this.#reused;
    // Asynchronous, because undici is still busy with the failed connection.
    queueMicrotask(() => {
      if (!this.#over && !this.#failing) this.#acquire(reused);
    });
  }

  /** RFC 9110 §9.2.2: only a request that is safe, or was certainly not processed, is repeated. */
  #decideRetry(failure: OriginFailure): 'retry' | 'retry-fresh' | 'give-up' {
    if (this.#hasResponded || !isConnectionFailure(failure.kind) || !this.#isRepeatable(failure))
      return 'give-up';
    if (this.#reused && !this.#staleForgiven) return 'retry-fresh';
    return this.#retriesLeft > 0 ? 'retry' : 'give-up';
  }

  #isRepeatable(failure: OriginFailure): boolean {
    const { method, body } = this.#request;
    if (body !== null && !(body instanceof Uint8Array) && (body.destroyed || body.readableDidRead))
      return false;
    return !failure.maybeProcessed || (body === null && safeMethods.has(method));
  }

  #acquire(fresh: boolean): void {
    this.#needsFresh = fresh;
    this.#isQueued = true;
    this.#around.checkouts.acquire(this);
  }

  #leaveQueue(): void {
    if (!this.#isQueued) return;
    this.#isQueued = false;
    this.#around.checkouts.cancel(this);
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
      this.#tellFailure({ ...failure, maybeProcessed });
    });
  }

  #tellFailure(failure: OriginFailure): void {
    if (!isOfWeir(failure)) this.#around.breaker?.failed(this.#around.clock.monotonicMs());
    this.#handler.onFailure(failure);
  }

  /** The client's content was cut off: the origin must not take what it has for complete. */
  #failForBody(error: Error): void {
    if (this.#over || this.#failing) return;
    const sent = this.#connection !== null;
    this.#leaveQueue();
    if (sent) this.#around.stats.abandoned++;
    this.#abortAttempt();
    this.#fail(originFailure('proxy_internal_error', "the request's body was cut short", sent, error));
  }

  #abortAttempt(): void {
    if (this.#connection === null) return;
    const connection = this.#endAttempt();
    this.#controller?.abort(new Error('given up by Weir'));
    this.#around.checkouts.release(connection);
  }

  /** Ends the attempt in progress, whose connection the caller has to release. */
  #endAttempt(): OriginConnection {
    const connection = this.#connection!;
    this.#connection = null;
    connection.headTimer.stop();
    connection.bodyTimer.stop();
    return connection;
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#around.ended(this);
  }

  #startBodyTimer(): void {
    if (!this.#paused && this.#bodyTimeoutMs > 0) {
      this.#connection?.bodyTimer.start(this.#bodyTimeoutMs, this);
    }
  }
}

const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

const NO_FIELDS: Fields = [];

/** Names and values in turn, which undici provides as buffers of latin1. */
function fieldsOf(raw: Dispatcher.DispatchController['rawHeaders']): Fields {
  if (!Array.isArray(raw) || raw.length === 0) return NO_FIELDS;
  const fields: string[] = [];
  for (const part of raw) fields.push(typeof part === 'string' ? part : part.toString('latin1'));
  return fields;
}
