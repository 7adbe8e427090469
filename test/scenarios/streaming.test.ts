/** Tests content in transit: it is passed on as it arrives, at each client's own speed, with one request. */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { beforeEach, describe, expect, it } from 'vitest';
import { gate } from '../support/barrier.ts';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { ask, askHead, cacheStatusOf, firstBytes } from './client.ts';
import { untilFlights } from './observed.ts';

const CHUNK = Buffer.alloc(256 * 1024);
for (let i = 0; i < CHUNK.length; i += 4) CHUNK.writeUInt32LE((i * 2_654_435_761) % 2 ** 32, i);
const CHUNKS = 128;
const SIZE = CHUNKS * CHUNK.length;

/** Resolves with the digest and length of the remaining content. */
function digested(message: IncomingMessage): Promise<string> {
  const hash = createHash('sha256');
  let bytes = 0;
  message.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    hash.update(chunk);
  });
  message.on('error', () => {});
  return new Promise((resolve) => {
    message.once('close', () => resolve(`${bytes} ${message.complete} ${hash.digest('hex')}`));
  });
}

const WHOLE = (() => {
  const hash = createHash('sha256');
  for (let i = 0; i < CHUNKS; i += 1) hash.update(CHUNK);
  return `${SIZE} true ${hash.digest('hex')}`;
})();

const LEVELS = {
  'memory and disk': 'cache: { memory: 64MiB, disk: { path: ./data, size: 256MiB } }',
  'memory alone': 'cache: { memory: 256MiB, disk: { path: ./data, size: 0 } }',
  'disk alone': 'cache: { memory: 0, disk: { path: ./data, size: 256MiB } }',
};

describe.each(Object.entries(LEVELS))('two workers with %s', (_name, cache) => {
  let origin: ScriptedOrigin;
  let weir: RunningWeir;

  useWeir(
    (url) => `
      listen: { port: 0, workers: 2 }
      ${cache}
      origins: { app: { url: "${url}" } }
    `,
    (started) => ({ origin, weir } = started),
  );

  beforeEach(() => origin.forget());

  const serveLarge = (path: string, framing: readonly string[]): void => {
    origin.on(path, async (_request, answer) => {
      answer.head(200, ['Cache-Control', 'max-age=600', 'ETag', '"1"', ...framing]);
      for (let i = 0; i < CHUNKS; i += 1) await answer.write(CHUNK);
      answer.end();
    });
  };

  /** Clients may have all of an answer before its end is on disk. */
  const untilStored = () => untilFlights(weir, ({ running }) => running === 0);

  it('pass the first byte on when it arrives, to all who wait', async () => {
    const held = gate();
    origin.on('/first', async (_request, answer) => {
      answer.head(200, ['Cache-Control', 'max-age=60', 'Content-Length', '6']);
      await answer.write('one');
      await held.promise;
      await answer.write('two');
      answer.end();
    });
    const heads = await Promise.all(Array.from({ length: 8 }, () => askHead(`${weir.url}/first`)));
    expect(origin.count()).toBe(1);
    for (const first of await Promise.all(heads.map(firstBytes))) expect(String(first)).toBe('one');
    const late = await askHead(`${weir.url}/first`);
    expect(String(await firstBytes(late))).toBe('one');
    const rest = [...heads, late].map(firstBytes);
    held.open();
    for (const last of await Promise.all(rest)) expect(String(last)).toBe('two');
    expect(origin.count()).toBe(1);
  });

  it.each([
    ['of a stated length', '/known', ['Content-Length', String(SIZE)]],
    ['of unknown length', '/unknown', ['Transfer-Encoding', 'chunked']],
  ])(
    'send 32 MiB %s to ten clients with one request, and nine do not wait for a slow one',
    async (_, path, framing) => {
      serveLarge(path, framing);
      const heads = await Promise.all(Array.from({ length: 10 }, () => askHead(`${weir.url}${path}`)));
      const [slow, ...fast] = heads as [IncomingMessage, ...IncomingMessage[]];
      // It has read nothing before all others have everything.
      for (const digest of await Promise.all(fast.map(digested))) expect(digest).toBe(WHOLE);
      expect(await digested(slow)).toBe(WHOLE);
      expect(origin.count()).toBe(1);
      await untilStored();
      const again = await askHead(`${weir.url}${path}`);
      expect(cacheStatusOf({ headers: again.headers as Record<string, string> })).toMatchObject({
        hit: true,
      });
      expect(await digested(again)).toBe(WHOLE);
      const part = await ask(`${weir.url}${path}`, {
        headers: { Range: `bytes=${CHUNK.length - 2}-${CHUNK.length + 1}` },
      });
      expect(part.status).toBe(206);
      expect(Buffer.from(part.body, 'latin1')).toEqual(
        Buffer.concat([CHUNK.subarray(-2), CHUNK.subarray(0, 2)]),
      );
      expect(origin.count()).toBe(1);
    },
  );

  it('slow the origin down where an answer that is not stored has a slow reader', async () => {
    let sent = 0;
    let isGone = false;
    origin.on('/passed', async (_request, answer) => {
      answer.head(200, ['Cache-Control', 'no-store']);
      void answer.gone.then(() => {
        isGone = true;
      });
      for (; sent < 256; sent += 1) {
        if (isGone) return;
        await answer.write(CHUNK);
      }
    });
    const slow = await askHead(`${weir.url}/passed`);
    await firstBytes(slow);
    slow.pause();
    // The pause shows by missing data: another answer passes completely in the meantime.
    serveLarge('/other', ['Content-Length', String(SIZE)]);
    expect(await digested(await askHead(`${weir.url}/other`))).toBe(WHOLE);
    expect(sent).toBeLessThan(256);
    slow.destroy();
  });
});
