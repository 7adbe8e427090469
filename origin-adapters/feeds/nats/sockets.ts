import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';

/**
 * The sockets of one connection, to be closed whatever state it is in. The client library gives a connection only once
 * the server has spoken: of one that accepts and says nothing it leaves the socket open, and names it to nobody.
 */
export class ConnectionSockets {
  readonly #sockets: Socket[] = [];
  #isOver = false;

  /** What `connect` opens is among them, whenever it does. */
  collect<T>(connect: () => Promise<T>): Promise<T> {
    watch();
    return opening.run(this, connect);
  }

  add(socket: Socket): void {
    if (this.#isOver) socket.destroy();
    else this.#sockets.push(socket);
  }

  /** At once, with nothing said to the server; those that are opened later, too. */
  destroy(): void {
    this.#isOver = true;
    for (const socket of this.#sockets) socket.destroy();
  }
}

const opening = new AsyncLocalStorage<ConnectionSockets>();
let isWatching = false;

function watch(): void {
  if (isWatching) return;
  isWatching = true;
  // https://nodejs.org/api/diagnostics_channel.html#event-netclientsocket
  subscribe('net.client.socket', (message) => {
    opening.getStore()?.add((message as { readonly socket: Socket }).socket);
  });
}
