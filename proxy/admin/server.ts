/** Puts the admin app on its port. */
import type { Server } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import type { Hono } from 'hono';

export type StartedAdmin =
  | {
      readonly kind: 'listening';
      /** The one taken, where any free one was asked for. */
      readonly port: number;
      /** Ends every connection; resolves when the port is free. */
      close(): Promise<void>;
    }
  /** `code` is the system's, such as EADDRINUSE. */
  | { readonly kind: 'failed'; readonly code: string; readonly reason: string };

export async function startAdmin(options: {
  readonly host: string;
  readonly port: number;
  readonly app: Hono;
}): Promise<StartedAdmin> {
  const { host, port, app } = options;
  const server = createAdaptorServer({ fetch: app.fetch, autoCleanupIncoming: true }) as Server;
  return new Promise((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      resolve({ kind: 'failed', code: error.code ?? 'unknown', reason: error.message });
    });
    server.listen(port, host, () => {
      const address = server.address();
      const taken = typeof address === 'object' && address !== null ? address.port : port;
      resolve({ kind: 'listening', port: taken, close: () => close(server) });
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
