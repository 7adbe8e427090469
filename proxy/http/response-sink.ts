/** The sink of a streamed response: checks the content against the declared length and applies the client's back pressure. */
import type { ServerResponse } from 'node:http';
import type { Fields } from '../../policies/http/fields.ts';
import { writableFields } from './response-head.ts';
import type { ResponseSink } from './exchange.ts';

export interface SinkOwner {
  readonly closed: boolean;
  /** The client is slow: it must read on within `limits.idle`. */
  stalled(): void;
  caughtUp(): void;
  /** The content is not as long as declared. */
  abort(): void;
}

export class NodeResponseSink implements ResponseSink {
  writtenBytes = 0;
  private readonly response: ServerResponse;
  private readonly owner: SinkOwner;
  /** Null: the content is chunked, or ends with the connection. */
  private readonly declaredBytes: number | null;
  /** For HEAD, 204 and 304: written content is dropped. */
  private readonly withoutContent: boolean;

  constructor(
    response: ServerResponse,
    owner: SinkOwner,
    declaredBytes: number | null,
    withoutContent: boolean,
  ) {
    this.response = response;
    this.owner = owner;
    this.declaredBytes = declaredBytes;
    this.withoutContent = withoutContent;
    if (!withoutContent) response.on('drain', () => owner.caughtUp());
  }

  write(chunk: Uint8Array): boolean {
    if (this.withoutContent || chunk.length === 0) return true;
    if (this.owner.closed || this.response.writableEnded) return true;
    // Bytes beyond the declared length would be read as the head of the next response.
    if (this.declaredBytes !== null && this.writtenBytes + chunk.length > this.declaredBytes) {
      this.owner.abort();
      return true;
    }
    this.writtenBytes += chunk.length;
    const room = this.response.write(chunk);
    if (!room) this.owner.stalled();
    return room;
  }

  onDrain(listener: () => void): void {
    this.response.on('drain', listener);
  }

  end(trailers: Fields = []): void {
    if (this.owner.closed) return;
    if (!this.withoutContent && this.declaredBytes !== null && this.writtenBytes < this.declaredBytes) {
      this.owner.abort();
      return;
    }
    if (this.response.chunkedEncoding && trailers.length > 0) {
      this.response.addTrailers(pairs(writableFields(trailers).kept));
    }
    this.response.end();
    const { socket } = this.response;
    if (socket === null || socket.writableLength > 0) this.owner.stalled();
  }
}

function pairs(fields: Fields): [string, string][] {
  const list: [string, string][] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) list.push([fields[i]!, fields[i + 1]!]);
  return list;
}
