import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';

/**
 * The sockets of one connection, so that they can be closed in any state. The client library returns a connection
 * only after the server has sent its greeting. If the server accepts and sends nothing, the library leaves the socket
 * open and gives no access to it.
 */
export class ConnectionSockets {
  readonly #sockets: Socket[] = [];
  #isOver = false;

  /** Collects every socket that `connect` opens, at any time. */
  collect<T>(connect: () => Promise<T>): Promise<T> {
    watch();
    return opening.run(this, connect);
  }

  add(socket: Socket): void {
    if (this.#isOver) socket.destroy();
    else this.#sockets.push(socket);
  }

  /** Closes all sockets at once, and any that are opened later. */
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
