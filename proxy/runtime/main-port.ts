import { createServer } from 'node:net';

/** A failure to start; the message is one line for an operator. */
export class StartFailure extends Error {}

export interface MainPort {
  readonly port: number;
  /** The port stays bound until `release`, so workers must listen on it with `reusePort`. */
  readonly isHeld: boolean;
  release(): void;
}

/** Whether the kernel spreads connections over several sockets on one port. */
export const CAN_SHARE = process.platform !== 'win32' && process.platform !== 'darwin';

/**
 * Binds the port exclusively, so that a second process can't join a port that is in use. For port 0 it finds a free port
 * and, if the platform can share ports, keeps it bound until the workers listen, so that no other process takes it.
 * Rejects with a `StartFailure`.
 */
export function takePort(host: string, port: number): Promise<MainPort> {
  const server = createServer();
  const isHeld = port === 0 && CAN_SHARE;
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(new StartFailure(cannotListen(host, port, error.code ?? '', error.message)));
    });
    server.listen({ host, port, exclusive: true, reusePort: isHeld }, () => {
      const address = server.address();
      const bound = typeof address === 'object' && address !== null ? address.port : port;
      if (isHeld) resolve({ port: bound, isHeld, release: () => void server.close() });
      else server.close(() => resolve({ port: bound, isHeld, release: () => {} }));
    });
  });
}

export function cannotListen(host: string, port: number, code: string, message: string): string {
  if (code === 'EADDRINUSE') return `${host}:${port} is in use by another program`;
  if (code === 'worker') return `a worker can't start: ${message}`;
  if (code === 'EACCES') return `${host}:${port} needs rights that this user does not have`;
  return `can't listen on ${host}:${port}: ${message}`;
}
