import { createServer } from 'node:net';

/** What keeps Weir from starting: one line for an operator. */
export class StartFailure extends Error {}

export interface MainPort {
  readonly port: number;
  /** Nobody else can take it before `release`; who listens on it has to share it. */
  readonly isHeld: boolean;
  release(): void;
}

/** Whether several sockets may listen on one port, each with connections of its own. */
export const CAN_SHARE = process.platform !== 'win32' && process.platform !== 'darwin';

/**
 * Binds the port without sharing it, so that no second process joins a port that is in use. 0: finds a free one, and holds
 * it where that can be, for until the workers listen it would be given to whoever asks for any. Rejects with a
 * `StartFailure`.
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
