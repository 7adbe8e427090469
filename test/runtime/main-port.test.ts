import { createServer, type Server } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { CAN_SHARE, StartFailure, takePort } from '../../proxy/runtime/main-port.ts';

const HOST = '127.0.0.1';

/** The error's code; null if it listens. */
function listen(port: number, reusePort: boolean): Promise<string | null> {
  const server: Server = createServer();
  onTestFinished(() => void server.close());
  return new Promise((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    server.listen({ host: HOST, port, reusePort }, () => resolve(null));
  });
}

it.runIf(CAN_SHARE)('a port that Weir chooses is held until the servers that share it listen', async () => {
  const held = await takePort(HOST, 0);
  expect(held.isHeld).toBe(true);
  expect(await listen(held.port, false)).toBe('EADDRINUSE');
  expect(await listen(held.port, true)).toBeNull();
  held.release();
  expect(await listen(held.port, true)).toBeNull();
  expect(await listen(held.port, false)).toBe('EADDRINUSE');
});

it('a configured port that is in use is rejected, also if it could be shared', async () => {
  const { port, release } = await takePort(HOST, 0);
  onTestFinished(release);
  await expect(takePort(HOST, port)).rejects.toThrow(StartFailure);
});
