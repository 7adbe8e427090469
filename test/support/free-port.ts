import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below those that the system gives to whoever asks for any (Linux: from 32768), so that nobody is given it before it
 * is used, or while what listens there is restarted. Test files that run at the same time have ranges of their own.
 */
const FIRST = 10_000;
const EACH = 1_000;
const RANGES = 20;

const first = FIRST + EACH * (Number(process.env['VITEST_POOL_ID'] ?? 0) % RANGES);
let next = Math.floor(Math.random() * EACH);

/** A port of loopback that nobody listens on now; in this process never the same again before all others were given. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < EACH; tries += 1) {
    const port = first + next;
    next = (next + 1) % EACH;
    if (await isFree(port)) return port;
  }
  throw new Error(`no port is free from ${first} on`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  } catch {
    // Taken.
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
