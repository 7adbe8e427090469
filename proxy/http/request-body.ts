/**
 * The content of a request, read from the connection only as fast as it is consumed, and never beyond its bound. The
 * client is told to go on (100) when somebody first reads, so that a request can be refused before its content is sent.
 */
import { Readable } from 'node:stream';
import type { IncomingMessage } from 'node:http';

export interface RequestBodyOptions {
  readonly limitBytes: number;
  /** As Content-Length says; null: chunked. */
  readonly declaredBytes: number | null;
  readonly onFirstRead: () => void;
  readonly onTooLarge: () => void;
}

export class RequestBody extends Readable {
  receivedBytes = 0;
  private readonly request: IncomingMessage;
  private readonly options: RequestBodyOptions;
  private reading = false;

  constructor(request: IncomingMessage, options: RequestBodyOptions) {
    super();
    this.request = request;
    this.options = options;
    // Whoever reads hears of a failure here; whoever does not hears that the client has gone.
    this.on('error', ignore);
  }

  /** The most that is still to come, in bytes. */
  get remainingBytes(): number {
    if (this.request.complete) return 0;
    const { declaredBytes } = this.options;
    return declaredBytes === null ? Infinity : declaredBytes - this.receivedBytes;
  }

  /** Lets the rest of the content pass unseen, so that the connection can go on to its next request. */
  discard(): void {
    this.reading = true;
    this.request.removeAllListeners('data');
    this.request.resume();
    this.destroy();
  }

  /** Ends the content as incomplete. */
  fail(error: Error): void {
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
    this.request.on('data', (chunk: Buffer) => this.onChunk(chunk));
    this.request.on('end', () => this.push(null));
  }

  private onChunk(chunk: Buffer): void {
    this.receivedBytes += chunk.length;
    if (this.receivedBytes > this.options.limitBytes) {
      this.fail(new Error(`The content is larger than ${this.options.limitBytes} bytes.`));
      this.options.onTooLarge();
    } else if (!this.destroyed && !this.push(chunk)) {
      this.request.pause();
    }
  }
}

function ignore(): void {}
