import type { ContentReader } from '../cache/content.ts';
import type { Exchange, ResponseSink } from '../http/exchange.ts';

/**
 * Sends what a reader reads to a client, at the client's own speed, and closes the reader at the end. `lengthBytes` ends
 * it early, for a range. Content that breaks off cuts the connection, so that the client sees it.
 *
 * Returns what is to be called when the reader may have more.
 */
export function pumpContent(
  reader: ContentReader,
  exchange: Exchange,
  sink: ResponseSink,
  lengthBytes: number,
  onEnd: () => void = () => {},
): () => void {
  let left = lengthBytes;
  let isBlocked = false;
  let isOver = false;

  const finish = (): void => {
    if (isOver) return;
    isOver = true;
    reader.close();
    onEnd();
  };

  const run = (): void => {
    while (!isOver && !isBlocked) {
      if (left === 0) {
        finish();
        sink.end();
        return;
      }
      const piece = reader.next();
      switch (piece.kind) {
        case 'wait':
          return;
        case 'bytes': {
          const bytes = piece.bytes.byteLength > left ? piece.bytes.subarray(0, left) : piece.bytes;
          left -= bytes.byteLength;
          reader.advance(bytes.byteLength);
          isBlocked = !sink.write(bytes);
          break;
        }
        case 'end':
          finish();
          sink.end(piece.trailers);
          return;
        case 'cut':
          finish();
          exchange.abort();
          return;
        default:
          piece satisfies never;
      }
    }
  };

  sink.onDrain(() => {
    isBlocked = false;
    run();
  });
  exchange.onGone(finish);
  return run;
}
