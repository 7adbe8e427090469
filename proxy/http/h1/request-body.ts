/**
 * The content of a request, read from the connection only as fast as it is consumed, and never beyond its bound. 100 is
 * sent at the first read, so that a request can be refused before its content is sent.
 */
import { Readable } from 'node:stream';
import { decideProgress } from '../../../policies/request-progress.ts';
import { systemClock } from '../../threads/clock.ts';

export interface RequestBodyOptions {
  readonly limitBytes: number;
  /** As Content-Length says; null: chunked. */
  readonly declaredBytes: number | null;
  readonly onFirstRead: () => void;
  /** The reader has caught up: the connection may bring more. */
  readonly onRoom: () => void;
  readonly leastBytesPerSecond: number;
  /** How often the rate is checked. */
  readonly rateWindowMs: number;
}

/** Content that waits here for its reader; with more, the connection is not read. */
const WAITING_BYTES = 64 * 1024;

export class RequestBody extends Readable {
  receivedBytes = 0;
  /** All of it has arrived. */
  isWhole = false;
  private readonly options: RequestBodyOptions;
  /** Content that came before the first read. */
  private early: Buffer[] = [];
  private reading = false;
  private discarding = false;
  /** The connection is not read, because the reader is slower. */
  private heldBack = false;
  private wasHeldBack = false;
  private lookedAtMs = 0;
  private bytesThen = 0;

  constructor(options: RequestBodyOptions) {
    super({ highWaterMark: WAITING_BYTES });
    this.options = options;
    // An error with no reader must not end the process: the exchange reports that the client has gone.
    this.on('error', ignore);
  }

  /** The most bytes that are still to come. */
  get remainingBytes(): number {
    if (this.isWhole) return 0;
    const { declaredBytes } = this.options;
    return declaredBytes === null ? Infinity : declaredBytes - this.receivedBytes;
  }

  /** Whether so much content, beyond what was received, is more than is accepted. */
  isTooMuch(bytes: number): boolean {
    return this.receivedBytes + bytes > this.options.limitBytes;
  }

  /** False: no more until `onRoom`. The chunk is not changed afterwards. */
  receive(chunk: Buffer): boolean {
    this.receivedBytes += chunk.length;
    if (this.discarding || this.destroyed) return true;
    let hasRoom: boolean;
    if (this.reading) hasRoom = this.push(chunk);
    else {
      this.early.push(chunk);
      hasRoom = this.receivedBytes < WAITING_BYTES;
    }
    if (!hasRoom) {
      this.heldBack = true;
      this.wasHeldBack = true;
    }
    return hasRoom;
  }

  /** All content has been received. */
  end(): void {
    this.isWhole = true;
    if (this.reading && !this.destroyed) this.push(null);
  }

  /** Drops what comes from now on, so that the connection can go on to its next request. */
  discard(): void {
    if (!this.discarding) {
      this.discarding = true;
      this.early = [];
      if (!this.reading) this.watchProgress();
      this.makeRoom();
      this.destroy();
    }
  }

  /** Ends the content as incomplete. */
  fail(error: Error): void {
    this.discarding = true;
    this.early = [];
    this.destroy(error);
  }

  /** Whether the content arrives too slowly; `nowMs` is monotonic. Looks once in `rateWindowMs`. */
  isTooSlow(nowMs: number): boolean {
    if (this.isWhole || this.lookedAtMs === 0 || nowMs - this.lookedAtMs < this.options.rateWindowMs)
      return false;
    const progress = decideProgress({
      bytes: this.receivedBytes - this.bytesThen,
      elapsedMs: nowMs - this.lookedAtMs,
      wasHeldBack: this.wasHeldBack,
      leastBytesPerSecond: this.options.leastBytesPerSecond,
    });
    this.lookedAtMs = nowMs;
    this.bytesThen = this.receivedBytes;
    this.wasHeldBack = this.heldBack;
    return progress === 'too-slow';
  }

  override _read(): void {
    if (!this.reading) {
      this.reading = true;
      this.options.onFirstRead();
      this.watchProgress();
      const { early } = this;
      this.early = [];
      let hasRoom = true;
      for (const chunk of early) hasRoom = this.push(chunk);
      if (this.isWhole) this.push(null);
      if (!hasRoom) return;
    }
    this.makeRoom();
  }

  private makeRoom(): void {
    if (!this.heldBack) return;
    this.heldBack = false;
    this.options.onRoom();
  }

  private watchProgress(): void {
    this.lookedAtMs = systemClock.monotonicMs();
    this.bytesThen = this.receivedBytes;
  }
}

function ignore(): void {}
