/**
 * The content of a request, read from the connection only as fast as it is consumed, and never beyond its bound. 100 is
 * sent at the first read, so that a request can be refused before its content is sent.
 */
import { Readable } from 'node:stream';
import type { IncomingMessage } from 'node:http';
import { decideProgress } from '../../policies/request-progress.ts';
import { systemClock } from '../threads/clock.ts';

export interface RequestBodyOptions {
  readonly limitBytes: number;
  /** As Content-Length says; null: chunked. */
  readonly declaredBytes: number | null;
  readonly onFirstRead: () => void;
  readonly onTooLarge: () => void;
  readonly leastBytesPerSecond: number;
  /** How often the rate is checked. */
  readonly rateWindowMs: number;
  readonly onTooSlow: () => void;
}

export class RequestBody extends Readable {
  receivedBytes = 0;
  private readonly request: IncomingMessage;
  private readonly options: RequestBodyOptions;
  private reading = false;
  private watch: NodeJS.Timeout | null = null;
  private lookedAtMs = 0;
  private bytesThen = 0;
  private wasHeldBack = false;

  constructor(request: IncomingMessage, options: RequestBodyOptions) {
    super();
    this.request = request;
    this.options = options;
    // An error with no reader must not end the process: the exchange reports that the client has gone.
    this.on('error', ignore);
  }

  /** The most bytes that are still to come. */
  get remainingBytes(): number {
    if (this.request.complete) return 0;
    const { declaredBytes } = this.options;
    return declaredBytes === null ? Infinity : declaredBytes - this.receivedBytes;
  }

  /** Reads and drops the rest of the content, so that the connection can go on to its next request. */
  discard(): void {
    this.reading = true;
    this.request.removeAllListeners('data');
    this.request.on('data', (chunk: Buffer) => {
      this.receivedBytes += chunk.length;
    });
    this.watchProgress();
    this.request.resume();
    this.destroy();
  }

  /** Ends the content as incomplete. */
  fail(error: Error): void {
    this.endWatch();
    this.request.removeAllListeners('data');
    this.destroy(error);
  }

  override _read(): void {
    if (this.reading) {
      this.request.resume();
      return;
    }
    this.reading = true;
    this.options.onFirstRead();
    this.watchProgress();
    this.request.on('data', (chunk: Buffer) => this.onChunk(chunk));
    this.request.on('end', () => this.push(null));
  }

  private onChunk(chunk: Buffer): void {
    this.receivedBytes += chunk.length;
    if (this.receivedBytes > this.options.limitBytes) {
      this.fail(new Error(`The content is larger than ${this.options.limitBytes} bytes.`));
      this.options.onTooLarge();
    } else if (!this.destroyed && !this.push(chunk)) {
      this.wasHeldBack = true;
      this.request.pause();
    }
  }

  private watchProgress(): void {
    if (this.watch !== null || this.request.complete) return;
    this.lookedAtMs = systemClock.monotonicMs();
    this.bytesThen = this.receivedBytes;
    this.watch = setInterval(() => this.look(), this.options.rateWindowMs).unref();
    this.request.once('end', () => this.endWatch());
    this.request.once('close', () => this.endWatch());
  }

  private look(): void {
    if (this.request.complete) {
      this.endWatch();
      return;
    }
    const nowMs = systemClock.monotonicMs();
    const progress = decideProgress({
      bytes: this.receivedBytes - this.bytesThen,
      elapsedMs: nowMs - this.lookedAtMs,
      wasHeldBack: this.wasHeldBack,
      leastBytesPerSecond: this.options.leastBytesPerSecond,
    });
    this.lookedAtMs = nowMs;
    this.bytesThen = this.receivedBytes;
    this.wasHeldBack = this.request.isPaused();
    if (progress === 'goes-on') return;
    this.endWatch();
    this.options.onTooSlow();
  }

  private endWatch(): void {
    if (this.watch !== null) clearInterval(this.watch);
    this.watch = null;
  }
}

function ignore(): void {}
