/** The sink of a streamed response: checks the content against the declared length and frames it. */
import type { Fields } from '../../../policies/http/fields.ts';
import type { ResponseSink } from '../exchange.ts';
import { writeLatin1 } from './latin1.ts';
import { renderTrailers } from './response-head.ts';
import type { Piece } from './socket-writer.ts';

export interface SinkOwner {
  readonly closed: boolean;
  /** Sends bytes in the response's turn. False: the connection owes its bound. */
  send(piece: Piece): boolean;
  /** Everything has been sent. */
  endResponse(): void;
  /** The content is not as long as declared. */
  abort(): void;
}

/** Chunks up to this size are copied together with their frame. */
const COPIED_BYTES = 4 * 1024;

export class ContentSink implements ResponseSink {
  writtenBytes = 0;
  private readonly owner: SinkOwner;
  /** Null: the content is chunked, or ends with the connection. */
  private readonly declaredBytes: number | null;
  private readonly isChunked: boolean;
  /** HEAD, 204, 304: written content is dropped. */
  private readonly withoutContent: boolean;
  private drainListeners: (() => void)[] | null = null;
  private waitsForDrain = false;
  private ended = false;

  constructor(
    owner: SinkOwner,
    content: {
      readonly declaredBytes: number | null;
      readonly isChunked: boolean;
      readonly withoutContent: boolean;
    },
  ) {
    this.owner = owner;
    this.declaredBytes = content.declaredBytes;
    this.isChunked = content.isChunked;
    this.withoutContent = content.withoutContent;
  }

  write(chunk: Uint8Array): boolean {
    if (this.withoutContent || chunk.length === 0) return true;
    if (this.owner.closed || this.ended) return true;
    // Bytes beyond the declared length would be read as the head of the next response.
    if (this.declaredBytes !== null && this.writtenBytes + chunk.length > this.declaredBytes) {
      this.owner.abort();
      return true;
    }
    this.writtenBytes += chunk.length;
    const hasRoom = this.isChunked ? this.sendChunk(chunk) : this.owner.send(chunk);
    if (!hasRoom) this.waitsForDrain = true;
    return hasRoom;
  }

  onDrain(listener: () => void): void {
    (this.drainListeners ??= []).push(listener);
  }

  end(trailers: Fields = []): void {
    if (this.owner.closed || this.ended) return;
    if (!this.withoutContent && this.declaredBytes !== null && this.writtenBytes < this.declaredBytes) {
      this.owner.abort();
      return;
    }
    this.ended = true;
    if (this.isChunked) this.owner.send(`0\r\n${renderTrailers(trailers)}\r\n`);
    this.owner.endResponse();
  }

  /** The connection owes nothing any more. */
  drained(): void {
    if (!this.waitsForDrain) return;
    this.waitsForDrain = false;
    for (const listener of this.drainListeners ?? []) listener();
  }

  private sendChunk(chunk: Uint8Array): boolean {
    const size = `${chunk.length.toString(16)}\r\n`;
    if (chunk.length > COPIED_BYTES) {
      this.owner.send(size);
      this.owner.send(chunk);
      return this.owner.send('\r\n');
    }
    const framed = Buffer.allocUnsafe(size.length + chunk.length + 2);
    writeLatin1(framed, size, 0);
    framed.set(chunk, size.length);
    writeLatin1(framed, '\r\n', size.length + chunk.length);
    return this.owner.send(framed);
  }
}
