/**
 * Joins two byte streams after a protocol switch (RFC 9110 §7.8). When one side ends, its remaining bytes are still delivered
 * to the other. An error of one side ends both.
 */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** How long one side may take to read the remaining bytes after the other has closed. */
const FLUSH_MS = 5_000;

/**
 * The tunnel ends after `idleMs` without a byte in either direction. `onEnd` is called once, when both sides are closed.
 * Returns a function that ends the tunnel at once.
 */
export function joinStreams(client: Socket, origin: Duplex, idleMs: number, onEnd: () => void): () => void {
  const end = () => {
    client.destroy();
    origin.destroy();
  };
  if (client.destroyed || origin.destroyed) {
    end();
    onEnd();
    return end;
  }
  let closed = 0;
  const watch = (side: Duplex, other: Duplex) => {
    side.on('error', end);
    side.on('close', () => {
      closed += 1;
      if (closed === 2) onEnd();
      else if (!other.destroyed) flush(other);
    });
  };
  // All bytes of both directions pass through this socket, so its idle time is the tunnel's.
  client.setTimeout(idleMs, end);
  watch(client, origin);
  watch(origin, client);
  // A client may have ended its side before the switch.
  if (client.readableEnded) origin.end();
  else client.pipe(origin);
  origin.pipe(client);
  return end;
}

function flush(side: Duplex): void {
  const timer = setTimeout(() => side.destroy(), FLUSH_MS);
  side.once('close', () => clearTimeout(timer));
  side.end(() => side.destroy());
}
