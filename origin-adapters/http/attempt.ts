/**
 * One attempt of a request on one connection: translates undici's events, applies the timeouts, and returns the
 * connection at the end.
 */
import type { Duplex } from 'node:stream';
import type { Dispatcher } from 'undici';
import { isEventStream } from '../../policies/http/event-stream.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { hasField } from '../../policies/http/fields.ts';
import type { OriginFailure, OriginRequest } from '../origin.ts';
import { faultOfHead } from './answer-head.ts';
import type { Stage } from './failure.ts';
import { failureOf, originFailure } from './failure.ts';
import type { Checkout } from './checkouts.ts';

export interface AttemptListener {
  onInformational(status: number, fields: Fields): void;
  onHead(status: number, fields: Fields): void;
  onData(chunk: Uint8Array): void;
  onEnd(trailers: Fields): void;
  onSwitched(fields: Fields, socket: Duplex): void;
  onFailed(failed: FailedAttempt): void;
}

export interface FailedAttempt {
  readonly failure: OriginFailure;
  /** Any part of the response has arrived, possibly an interim one. */
  readonly hasResponded: boolean;
  /** The connection had carried requests before: the origin may have closed it while this request was in transit. */
  readonly reused: boolean;
}

export interface AttemptOptions {
  readonly request: OriginRequest;
  readonly dispatch: Dispatcher.DispatchOptions;
  /** From the end of the request to the head of the response, interim ones included. */
  readonly headersTimeoutMs: number;
  /** Between two chunks of the body; 0: no limit. Event streams have none. */
  readonly bodyTimeoutMs: number;
}

export class OriginAttempt implements Dispatcher.DispatchHandler {
  readonly #request: OriginRequest;
  readonly #checkout: Checkout;
  readonly #listener: AttemptListener;
  readonly #headersTimeoutMs: number;
  #bodyTimeoutMs: number;
  #timer: NodeJS.Timeout | null = null;
  #controller: Dispatcher.DispatchController | null = null;
  #stage: Stage = 'connecting';
  #hasResponded = false;
  #reused = false;
  #endsWithConnection = false;
  #paused = false;
  #over = false;
  #timedOut: OriginFailure['kind'] | null = null;

  constructor(checkout: Checkout, options: AttemptOptions, listener: AttemptListener) {
    this.#request = options.request;
    this.#checkout = checkout;
    this.#listener = listener;
    this.#headersTimeoutMs = options.headersTimeoutMs;
    this.#bodyTimeoutMs = options.bodyTimeoutMs;
    checkout.connection.dispatch(options.dispatch, this);
  }

  pause(): void {
    this.#paused = true;
    if (this.#stage === 'answered') this.#stopTimer();
    this.#controller?.pause();
  }

  /** Asynchronous, because undici's parser must not be entered from within another parser's callback. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    queueMicrotask(() => {
      if (this.#paused || this.#over) return;
      if (this.#stage === 'answered') this.#startBodyTimer();
      this.#controller?.resume();
    });
  }

  /** Whether any byte of the request may have been sent. */
  get hasSent(): boolean {
    return this.#stage !== 'connecting';
  }

  /** Ends the attempt; the listener is not called again. */
  abort(): void {
    if (this.#over) return;
    this.#finish();
    this.#controller?.abort(new Error('given up by Weir'));
    this.#checkout.release();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#over) return controller.abort(new Error('given up by Weir'));
    this.#stage = 'sent';
    this.#reused = this.#checkout.connection.carried > 0;
    this.#checkout.connection.beginRequest();
  }

  /** undici's own timers are up to a second late. They only limit the sending of the request. */
  onRequestSent(): void {
    if (this.#over || this.#stage !== 'sent') return;
    this.#startTimer(this.#headersTimeoutMs, 'http_response_timeout');
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (this.#over) return;
    this.#hasResponded = true;
    const fields = fieldsOf(controller.rawHeaders);
    if (status < 200) {
      this.#timer?.refresh();
      return this.#listener.onInformational(status, fields);
    }
    const fault = faultOfHead(this.#request, status, fields);
    if (fault !== null) {
      // The connection is closed first, so that it carries no other request.
      this.#finish();
      controller.abort(new Error(fault));
      return this.#fail(originFailure('http_protocol_error', fault, true, null));
    }
    this.#stage = 'answered';
    this.#endsWithConnection = !hasField(fields, 'content-length') && !hasField(fields, 'transfer-encoding');
    if (isEventStream(fields)) this.#bodyTimeoutMs = 0;
    this.#startBodyTimer();
    this.#listener.onHead(status, fields);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return;
    this.#timer?.refresh();
    this.#listener.onData(chunk);
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    if (this.#over) return;
    // RFC 9112 §8: a body without a length is complete only if the connection was closed in order, but undici also
    // accepts a reset as its end.
    if (this.#endsWithConnection && this.#checkout.connection.broken) {
      return this.#fail(
        originFailure('http_response_incomplete', 'the connection was reset inside the body', true, null),
      );
    }
    this.#finish();
    this.#checkout.release();
    this.#listener.onEnd(fieldsOf(controller.rawTrailers));
  }

  onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    _status: number,
    _headers: unknown,
    socket: Duplex,
  ): void {
    if (this.#over) return void socket.destroy();
    this.#finish();
    // The connection counts as used until the tunnel is closed.
    socket.once('close', () => this.#checkout.release());
    this.#listener.onSwitched(fieldsOf(controller.rawHeaders), socket);
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#over) return;
    this.#fail(failureOf(error, this.#stage, this.#timedOut));
  }

  #fail(failure: OriginFailure): void {
    this.#finish();
    this.#checkout.release();
    this.#listener.onFailed({ failure, hasResponded: this.#hasResponded, reused: this.#reused });
  }

  #finish(): void {
    this.#over = true;
    this.#stopTimer();
  }

  #startBodyTimer(): void {
    this.#stopTimer();
    if (!this.#paused && this.#bodyTimeoutMs > 0) {
      this.#startTimer(this.#bodyTimeoutMs, 'connection_read_timeout');
    }
  }

  #startTimer(delayMs: number, kind: OriginFailure['kind']): void {
    this.#stopTimer();
    this.#timer = setTimeout(() => {
      this.#timedOut = kind;
      this.#controller?.abort(new Error('timed out'));
    }, delayMs);
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

/** Names and values in turn, which undici provides as buffers of latin1. */
function fieldsOf(raw: Dispatcher.DispatchController['rawHeaders']): Fields {
  if (!Array.isArray(raw)) return [];
  return raw.map((part) => (typeof part === 'string' ? part : part.toString('latin1')));
}
