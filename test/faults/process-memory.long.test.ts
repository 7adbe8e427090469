/** The resident memory of a process, as the operating system counts it, when a small cache is filled many times. */
import { readFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { describe, expect, it } from 'vitest';
import { ask } from '../scenarios/client.ts';
import { startScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir } from '../support/weir.ts';

const MIB = 2 ** 20;
const URLS = 200_000;
const CLIENTS = 32;

/** The peak of the sum of RssAnon, RssFile and RssShmem. */
function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/^VmHWM:\s+(\d+)/m.exec(status)![1]) * 1024;
}

describe('a small cache', () => {
  it.each([
    [1, 200],
    [1, 404],
    [2, 200],
    [2, 404],
  ])(
    'keeps a process of %i workers below 350 MiB over 200,000 URLs with status %i',
    async (workers, status) => {
      const body = 'x'.repeat(500);
      const origin = await startScriptedOrigin(({ url }) => ({
        status,
        fields: ['Cache-Control', 'max-age=3600', 'ETag', `"${url}"`],
        body,
      }));
      const weir = await startWeir(`
        listen: { port: 0, workers: ${workers} }
        cache: { memory: 32MiB, disk: { path: ./data, size: 64MiB } }
        fence: { records: 4000000 }
        origins: { app: { url: "${origin.url}" } }
      `);
      const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
      let next = 0;
      const some = async (): Promise<void> => {
        while (next < URLS) {
          next += 1;
          await ask(`${weir.url}/unique/${next}`, { agent });
          // The origin's record of its requests would fill the memory of the test process.
          if (next % 1_000 === 0) origin.forget();
        }
      };
      await Promise.all(Array.from({ length: CLIENTS }, some));
      const { memory } = (await weir.stats()) as { memory: { evictions: number } };
      expect(memory.evictions).toBeGreaterThan(URLS / 2);
      expect(residentBytes(weir.pid)).toBeLessThan(350 * MIB);
      agent.destroy();
      await weir.stop();
      await origin.close();
    },
    1_800_000,
  );
});
