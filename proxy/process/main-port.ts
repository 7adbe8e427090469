import { createServer } from 'node:net';

/** What keeps Weir from starting: one line for an operator. */
export class StartFailure extends Error {}

/** Binds the port once without sharing it, so that no second process joins a port that is in use; 0: finds a free one. */
export function freePort(host: string, port: number): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(new StartFailure(cannotListen(host, port, error.code ?? '', error.message)));
    });
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address();
      const bound = typeof address === 'object' && address !== null ? address.port : port;
      server.close(() => resolve(bound));
    });
  });
}

export function cannotListen(host: string, port: number, code: string, message: string): string {
  if (code === 'EADDRINUSE') return `${host}:${port} is in use by another program`;
  if (code === 'worker') return `a worker can't start: ${message}`;
  if (code === 'EACCES') return `${host}:${port} may not be listened on by this user`;
  return `cannot listen on ${host}:${port}: ${message}`;
}
