/**
 * Two byte streams joined after a protocol switch (RFC 9110 §7.8): what one side says the other hears, a side that has
 * finished is heard out, and a side that fails takes the other with it.
 */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** How long one side may take to read the rest after the other has closed. */
const FLUSH_MS = 5_000;

/**
 * Ends when for `idleMs` neither side could say anything to the other. `onEnd` is called once, when both are closed.
 * Returns what ends the tunnel at once.
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
  // Whatever either says is read from it or written to it.
  client.setTimeout(idleMs, end);
  watch(client, origin);
  watch(origin, client);
  client.pipe(origin);
  origin.pipe(client);
  return end;
}

function flush(side: Duplex): void {
  const timer = setTimeout(() => side.destroy(), FLUSH_MS);
  side.once('close', () => clearTimeout(timer));
  side.end(() => side.destroy());
}
