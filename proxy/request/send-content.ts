import type { ContentReader } from '../store/content.ts';
import type { Exchange, ResponseSink } from '../http/exchange.ts';

/**
 * Sends a reader's content to a client at the client's pace, and closes the reader at the end. `lengthBytes` ends it early,
 * for a range. Content that breaks off cuts the connection, so that the client sees that some is missing.
 *
 * Returns a function to call when the reader may have more.
 */
export function sendContent(
  reader: ContentReader,
  exchange: Exchange,
  sink: ResponseSink,
  lengthBytes: number,
): () => void {
  const sender = new ContentSender(reader, exchange, sink, lengthBytes);
  return () => sender.run();
}

class ContentSender {
  readonly #reader: ContentReader;
  readonly #exchange: Exchange;
  readonly #sink: ResponseSink;
  #leftBytes: number;
  #isBlocked = false;
  #isOver = false;

  constructor(reader: ContentReader, exchange: Exchange, sink: ResponseSink, lengthBytes: number) {
    this.#reader = reader;
    this.#exchange = exchange;
    this.#sink = sink;
    this.#leftBytes = lengthBytes;
    sink.onDrain(() => {
      this.#isBlocked = false;
      this.run();
    });
    exchange.onGone(() => this.#finish());
  }

  run(): void {
    while (!this.#isOver && !this.#isBlocked) {
      if (this.#leftBytes === 0) {
        this.#finish();
        this.#sink.end();
        return;
      }
      const piece = this.#reader.next();
      switch (piece.kind) {
        case 'wait':
          return;
        case 'bytes':
          this.#write(piece.bytes);
          break;
        case 'end':
          this.#finish();
          this.#sink.end(piece.trailers);
          return;
        case 'cut':
          this.#finish();
          this.#exchange.abort();
          return;
        default:
          piece satisfies never;
      }
    }
  }

  #write(piece: Uint8Array): void {
    const bytes = piece.byteLength > this.#leftBytes ? piece.subarray(0, this.#leftBytes) : piece;
    this.#leftBytes -= bytes.byteLength;
    this.#reader.advance(bytes.byteLength);
    // Advancing may run other code, in which the client may leave.
    if (!this.#isOver) this.#isBlocked = !this.#sink.write(bytes);
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#reader.close();
  }
}
