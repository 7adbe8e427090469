import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below the ephemeral ports of the system (Linux: from 32768), so that no other process gets the port before
 * the test uses it, or while its server is restarted. Test files that run at the same time have ranges of
 * their own.
 */
const FIRST = 10_000;
const EACH = 1_000;
const RANGES = 20;

const first = FIRST + EACH * (Number(process.env['VITEST_POOL_ID'] ?? 0) % RANGES);
let next = Math.floor(Math.random() * EACH);

/**
 * A port of 127.0.0.1 on which no process listens. This process returns it again only after all others of its
 * range.
 */
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
    // The port is taken.
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
