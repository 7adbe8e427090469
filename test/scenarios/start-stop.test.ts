/** Tests how `weir serve` starts, or reports in one line why it does not, and how it stops. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { gate } from '../support/barrier.ts';
import { endWithTests } from '../support/end-with-tests.ts';
import { freePort } from '../support/free-port.ts';
import { startScriptedOrigin, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { ask, RawConnection } from './client.ts';

const PROGRAM = fileURLToPath(new URL('../../proxy/cli/weir.ts', import.meta.url));

let folder: string;
let taken: Server;
let takenPort: number;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'weir-start-'));
  taken = createServer();
  await once(taken.listen(0, '127.0.0.1'), 'listening');
  takenPort = (taken.address() as AddressInfo).port;
});

afterEach(() => {
  taken.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Start {
  readonly port?: number;
  readonly adminPort?: number;
  readonly path?: string;
}

/** Runs `weir serve` until it ends by itself. */
async function startInVain({ port = 0, adminPort = 0, path = join(folder, 'data') }: Start) {
  const file = join(folder, 'weir.yaml');
  writeFileSync(
    file,
    `listen: { port: ${port}, workers: 2 }\nadmin: { port: ${adminPort} }\nfence: { records: 1000 }\n` +
      `cache: { memory: 8MiB, disk: { path: ${path}, size: 16MiB } }\norigins: { shop: { url: "demo:" } }\n`,
  );
  const child = spawn(process.execPath, [PROGRAM, 'serve', '--config', file], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [code, out, err] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)]);
  return { code: code[0] as number | null, out, err };
}

describe('weir serve ends with 1 and one line', () => {
  it('where the main port is taken', async () => {
    const { code, err } = await startInVain({ port: takenPort });
    expect(err).toBe(`weir: 127.0.0.1:${takenPort} is in use by another program\n`);
    expect(code).toBe(1);
  });

  it('where the admin port is taken, and leaves the main port free', async () => {
    const port = await freePort();
    const { code, err } = await startInVain({ port, adminPort: takenPort });
    expect(err).toBe(`weir: 127.0.0.1:${takenPort} is in use by another program\n`);
    expect(code).toBe(1);
    const again = createServer();
    await once(again.listen(port, '127.0.0.1'), 'listening');
    again.close();
  });

  it('where another Weir has the disk path', async () => {
    const path = join(folder, 'shared');
    const weir = await startWeir(`
      cache: { memory: 8MiB, disk: { path: ${path}, size: 16MiB } }
      origins: { shop: { url: "demo:" } }
    `);
    const { code, err } = await startInVain({ path });
    expect(err).toBe(`weir: ${path} is in use by another Weir (pid ${weir.pid})\n`);
    expect(code).toBe(1);
    await weir.stop();
  });

  it("where the disk path can't be written", async () => {
    const file = join(folder, 'a-file');
    writeFileSync(file, '');
    const { code, err } = await startInVain({ path: join(file, 'data') });
    expect(err).toMatch(/^weir: .*a-file\/data is not writable: .+\n$/);
    expect(code).toBe(1);
  });
});

describe('a Weir that was started', () => {
  it('writes only lines of JSON to standard output, and prints for people where it listens', async () => {
    const weir = await startWeir(`
      origins: { shop: { url: "demo:" } }
      log: { level: info, access: true }
    `);
    await ask(`${weir.url}/products/1`);
    const request = await weir.event('request');
    expect(request).toMatchObject({ method: 'GET', path: '/products/1', status: 200, outcome: 'miss' });
    expect(await weir.stop()).toBe(0);
    const isJson = weir.lines.map((line) => line.startsWith('{') && line.endsWith('}'));
    expect(isJson.filter(Boolean).length).toBeGreaterThan(2);
    const spoken = weir.lines.find((_, i) => !isJson[i]);
    expect(spoken).toBe(`Weir listens on ${weir.url}, its admin side on ${weir.adminUrl}.`);
  });
});

describe('a Weir that is stopped', () => {
  let origin: ScriptedOrigin;
  let weir: RunningWeir;

  const start = async (stopTimeout: string): Promise<void> => {
    origin = await startScriptedOrigin();
    weir = await startWeir(`
      listen: { port: 0, workers: 2, stop-timeout: ${stopTimeout} }
      cache: { memory: 8MiB, disk: { path: ./data, size: 16MiB } }
      origins: { app: { url: "${origin.url}" } }
    `);
  };

  afterEach(async () => {
    await weir.stop();
    await origin.close();
  });

  /** Resolves when no server listens any more. */
  const untilClosed = async (): Promise<void> => {
    for (;;) {
      const probe = new RawConnection(weir.port);
      const isOpen = await new Promise((resolve) => {
        probe.socket.once('connect', () => resolve(true));
        probe.socket.once('error', () => resolve(false));
      });
      probe.close();
      if (isOpen !== true) return;
    }
  };

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'finishes running requests and accepts no new ones (%s)',
    async (signal) => {
      await start('20s');
      const held = gate();
      origin.on('/held', async (_request, answer) => {
        answer.head(200, ['Cache-Control', 'max-age=60', 'Content-Length', '7']);
        await held.promise;
        await answer.write('content');
        answer.end();
      });
      const asked = ask(`${weir.url}/held`);
      const idle = new RawConnection(weir.port);
      idle.write('GET /none HTTP/1.1\r\nHost: a\r\n\r\n');
      await idle.comes('\r\n\r\n');
      await origin.seen('/held');
      weir.signal(signal);
      await untilClosed();
      await idle.ended();
      expect((await weir.admin('/readyz')).status).toBe(503);
      expect((await weir.admin('/healthz')).status).toBe(200);
      held.open();
      expect(await asked).toMatchObject({ status: 200, body: 'content', whole: true });
      expect(await weir.exited).toBe(0);
      expect(weir.events('stopped')).toHaveLength(1);
    },
  );

  it('cuts requests that still run when the time is up, and reports how many', async () => {
    await start('100ms');
    origin.on('/held', (_request, answer) => answer.gone);
    const asked = ask(`${weir.url}/held`).catch((error: NodeJS.ErrnoException) => error.code);
    await origin.seen('/held');
    weir.signal('SIGTERM');
    expect(await asked).toBe('ECONNRESET');
    expect(await weir.exited).toBe(0);
    expect(weir.events('stopped')).toMatchObject([{ level: 'warn', cut: 1 }]);
  });

  const spoken = (text: string): string[] => weir.lines.filter((line) => line.includes(text));

  /** A client that has got the first event of an endless stream. */
  const openStream = async (request: string): Promise<RawConnection> => {
    origin.on('/events', async (_request, answer) => {
      answer.head(200, ['Content-Type', 'Text/Event-Stream; charset=utf-8', 'Cache-Control', 'no-store']);
      await answer.write('data: first\n\n');
      await answer.gone;
    });
    const client = new RawConnection(weir.port);
    client.write(`GET /events ${request}\r\n\r\n`);
    await client.comes('data: first');
    return client;
  };

  it('reports at once, and every few seconds, what it waits for, and ends event streams and tunnels early', async () => {
    await start('1h');
    const held = gate();
    origin.on('/held', async (_request, answer) => {
      await held.promise;
      answer.send(200, [], 'content');
    });
    origin.onUpgrade((_request, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\nhello');
      socket.on('end', () => socket.end());
    });
    const asked = ask(`${weir.url}/held`);
    const tunnel = new RawConnection(weir.port);
    tunnel.write('GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n');
    await tunnel.comes('hello');
    const streams = await Promise.all(
      ['HTTP/1.1\r\nHost: a', 'HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream', 'HTTP/1.0\r\nHost: a'].map(
        openStream,
      ),
    );
    origin.on('/silent-events', (_request, answer) => answer.gone);
    const silent = new RawConnection(weir.port);
    silent.write('GET /silent-events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n');
    await origin.seen('/silent-events');
    await origin.seen('/held');
    weir.signal('SIGTERM');
    const counts = { requests: 1, eventStreams: 4, tunnels: 1, deliveries: 0, waitingWrites: 0 };
    expect(await weir.event('stop-waiting')).toMatchObject({ ...counts, leftSeconds: 3600 });
    const ends = await Promise.all(streams.map((stream) => stream.ended()));
    for (const received of ends.slice(0, 2)) expect(received).toMatch(/\r\n0\r\n\r\n$/);
    expect(await silent.ended()).toBe('');
    await tunnel.ended();
    const later = { requests: 1, eventStreams: 0, tunnels: 0 };
    expect(await weir.event('stop-waiting', 1)).toMatchObject(later);
    held.open();
    expect(await asked).toMatchObject({ status: 200, body: 'content', whole: true });
    expect(await weir.exited).toBe(0);
    expect(weir.events('stopped')).toMatchObject([{ level: 'info' }]);
    expect(spoken('weir: ')).toEqual([
      'weir: stopping (SIGTERM); a second signal stops it at once',
      'weir: waiting for 1 request in progress, 4 event streams, 1 tunnel (at most 3600 s)',
      expect.stringMatching(/^weir: waiting for 1 request in progress \(at most 359\d s\)$/),
    ]);
  });

  it('gives event streams and tunnels as long as stop-streams says', async () => {
    await start('1h, stop-streams: 1h');
    const stream = await openStream('HTTP/1.1\r\nHost: a');
    weir.signal('SIGTERM');
    await weir.event('stop-waiting', 1);
    expect(stream.isClosed).toBe(false);
    weir.signal('SIGTERM');
    expect(await weir.exited).toBe(1);
  });

  it('reports to weir stop what it waits for', async () => {
    await start('1h, stop-streams: 1h');
    const stream = await openStream('HTTP/1.1\r\nHost: a');
    const child = spawn(process.execPath, [PROGRAM, 'stop', '--admin', weir.adminUrl], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    endWithTests(child);
    const stdout = text(child.stdout);
    for await (const line of createInterface(child.stderr)) {
      expect(line).toBe('weir stop: waiting for 1 event stream');
      break;
    }
    stream.close();
    expect(await stdout).toBe(`stopped (pid ${weir.pid})\n`);
    expect(await weir.exited).toBe(0);
  });

  it('ends at once at a second signal', async () => {
    await start('1h');
    origin.on('/held', (_request, answer) => answer.gone);
    const asked = ask(`${weir.url}/held`).catch((error: NodeJS.ErrnoException) => error.code);
    await origin.seen('/held');
    weir.signal('SIGTERM');
    await weir.event('stopping');
    weir.signal('SIGTERM');
    expect(await weir.exited).toBe(1);
    expect(await asked).toBe('ECONNRESET');
  });

  it('starts again with the same path, also after it was killed', async () => {
    await start('1s');
    origin.on('/kept', { fields: ['Cache-Control', 'max-age=600'], body: 'kept' });
    await ask(`${weir.url}/kept`);
    await weir.kill();
    const again = await startWeir(
      `
      cache: { memory: 8MiB, disk: { path: ./data, size: 16MiB } }
      origins: { app: { url: "${origin.url}" } }
    `,
      { folder: weir.folder },
    );
    expect((await ask(`${again.url}/kept`)).body).toBe('kept');
    expect(await again.stop()).toBe(0);
  });
});
