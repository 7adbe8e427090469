/** Serves the admin app on its port. */
import type { Server } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import type { Hono } from 'hono';
import type { AdminLimits } from '../../policies/config/config.ts';

export type StartedAdmin =
  | {
      readonly kind: 'listening';
      /** The port in use; the one that the system chose if port 0 was configured. */
      readonly port: number;
      /** Closes every connection. Resolves when the port is free. */
      close(): Promise<void>;
    }
  /** `code` is the system's error code, such as EADDRINUSE. */
  | { readonly kind: 'failed'; readonly code: string; readonly reason: string };

export async function startAdmin(options: {
  readonly host: string;
  readonly port: number;
  readonly app: Hono;
  readonly limits: AdminLimits;
}): Promise<StartedAdmin> {
  const { host, port, app, limits } = options;
  const { requestMs, connections } = limits;
  const server = createAdaptorServer({
    fetch: app.fetch,
    autoCleanupIncoming: true,
    serverOptions: {
      requestTimeout: requestMs,
      headersTimeout: requestMs,
      // Node.js checks the timeouts at this interval. A long interval would extend short timeouts noticeably.
      connectionsCheckingInterval: Math.ceil(Math.min(1_000, Math.max(20, requestMs / 8))),
    },
  }) as Server;
  server.maxConnections = connections;
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
