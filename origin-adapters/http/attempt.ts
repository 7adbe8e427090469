/**
 * One try of a request on one connection: turns undici's events into the adapter's words, times the answer, and gives
 * the connection back when it ends.
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
import type { Lease } from './leases.ts';

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
  /** Something of the response, an interim one included, has come. */
  readonly heard: boolean;
  /** The connection had carried requests before: the origin may have closed it while this one was on its way. */
  readonly reused: boolean;
}

export interface AttemptOptions {
  readonly request: OriginRequest;
  readonly dispatch: Dispatcher.DispatchOptions;
  /** From the end of the request to the head of the answer, interim ones counting. */
  readonly headersTimeoutMs: number;
  /** Between two chunks of the body; 0: no limit. An event stream has none. */
  readonly bodyTimeoutMs: number;
}

export class OriginAttempt implements Dispatcher.DispatchHandler {
  readonly #request: OriginRequest;
  readonly #lease: Lease;
  readonly #listener: AttemptListener;
  readonly #headersTimeoutMs: number;
  #bodyTimeoutMs: number;
  #timer: NodeJS.Timeout | null = null;
  #controller: Dispatcher.DispatchController | null = null;
  #stage: Stage = 'connecting';
  #heard = false;
  #reused = false;
  #endsWithConnection = false;
  #paused = false;
  #over = false;
  #timedOut: OriginFailure['kind'] | null = null;

  constructor(lease: Lease, options: AttemptOptions, listener: AttemptListener) {
    this.#request = options.request;
    this.#lease = lease;
    this.#listener = listener;
    this.#headersTimeoutMs = options.headersTimeoutMs;
    this.#bodyTimeoutMs = options.bodyTimeoutMs;
    lease.connection.dispatch(options.dispatch, this);
  }

  pause(): void {
    this.#paused = true;
    if (this.#stage === 'answered') this.#stopTimer();
    this.#controller?.pause();
  }

  /** Not at once: undici's parser must not be entered from inside another one's callback. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    queueMicrotask(() => {
      if (this.#paused || this.#over) return;
      if (this.#stage === 'answered') this.#startBodyTimer();
      this.#controller?.resume();
    });
  }

  /** Bytes of the request may have gone. */
  get hasSent(): boolean {
    return this.#stage !== 'connecting';
  }

  /** Ends the try; the listener hears nothing more. */
  abort(): void {
    if (this.#over) return;
    this.#finish();
    this.#controller?.abort(new Error('given up by Weir'));
    this.#lease.release();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#over) return controller.abort(new Error('given up by Weir'));
    this.#stage = 'sent';
    this.#reused = this.#lease.connection.carried > 0;
    this.#lease.connection.beginRequest();
  }

  /** undici's own timers are a second late or so; they are left to watch over the sending alone. */
  onRequestSent(): void {
    if (this.#over || this.#stage !== 'sent') return;
    this.#startTimer(this.#headersTimeoutMs, 'http_response_timeout');
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (this.#over) return;
    this.#heard = true;
    const fields = fieldsOf(controller.rawHeaders);
    if (status < 200) {
      this.#timer?.refresh();
      return this.#listener.onInformational(status, fields);
    }
    const fault = faultOfHead(this.#request, status, fields);
    if (fault !== null) {
      // The connection goes first, lest it carry another request.
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
    // RFC 9112 §8: such a body is whole only where the connection was closed in order; undici takes a reset for its
    // end, too.
    if (this.#endsWithConnection && this.#lease.connection.broken) {
      return this.#fail(
        originFailure('http_response_incomplete', 'the connection was reset inside the body', true, null),
      );
    }
    this.#finish();
    this.#lease.release();
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
    // The connection counts until the tunnel is closed.
    socket.once('close', () => this.#lease.release());
    this.#listener.onSwitched(fieldsOf(controller.rawHeaders), socket);
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#over) return;
    this.#fail(failureOf(error, this.#stage, this.#timedOut));
  }

  #fail(failure: OriginFailure): void {
    this.#finish();
    this.#lease.release();
    this.#listener.onFailed({ failure, heard: this.#heard, reused: this.#reused });
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

/** undici hands over what came on the wire as buffers of latin1, name and value in turn. */
function fieldsOf(raw: Dispatcher.DispatchController['rawHeaders']): Fields {
  if (!Array.isArray(raw)) return [];
  return raw.map((part) => (typeof part === 'string' ? part : part.toString('latin1')));
}
