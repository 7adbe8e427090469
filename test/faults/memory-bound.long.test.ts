/** The growth of a process, as the operating system counts it, when its memory tier is filled several times. */
import { Agent, get } from 'node:http';
import { describe, expect, it } from 'vitest';
import { memoryOf } from '../support/process-memory.ts';
import { startScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir } from '../support/weir.ts';

const MIB = 2 ** 20;
const MEMORY_MIB = 192;

function read(url: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (message) => {
      message.resume();
      message.once('end', resolve);
    }).once('error', reject);
  });
}

describe('cache.memory', () => {
  it.each([
    [200, 90_000],
    [2_000, 50_000],
    [20_000, 15_000],
    [400_000, 1_000],
  ])('bounds the growth of the process for contents of %i bytes', async (size, count) => {
    const body = Buffer.alloc(size, 'x');
    const fields = ['Cache-Control', 'max-age=3600', 'Content-Type', 'text/plain'];
    const origin = await startScriptedOrigin((request) => ({
      fields: [...fields, 'ETag', `"${request.url}"`],
      body,
    }));
    const weir = await startWeir(`
      cache: { memory: ${MEMORY_MIB}MiB, disk: { path: ./data, size: 0 } }
      origins: { app: { url: "${origin.url}" } }
    `);
    const agent = new Agent({ keepAlive: true, maxSockets: 16 });
    const ask = async (from: number, to: number): Promise<void> => {
      let next = from;
      const some = async (): Promise<void> => {
        while (next < to) await read(`${weir.url}/content/${(next += 1)}`, agent);
      };
      await Promise.all(Array.from({ length: 16 }, some));
      // The origin's record of its requests would fill the memory of the test process.
      origin.forget();
    };
    // The first requests load and compile code, which is not part of the cache.
    for (let i = 0; i < 4_000; i += 1) await read(`${weir.url}/warm`, agent);
    const before = memoryOf(weir.pid);
    let most = 0;
    for (let part = 0; part < 10; part += 1) {
      await ask((count / 10) * part, (count / 10) * (part + 1));
      most = Math.max(most, memoryOf(weir.pid) - before);
    }
    const { memory } = (await weir.stats()) as {
      memory: { bytes: number; entries: number; evictions: number };
    };
    expect(memory.evictions).toBeGreaterThan(0);
    expect(most).toBeLessThan(MEMORY_MIB * MIB * 1.15);
    agent.destroy();
    await weir.stop();
    await origin.close();
  });
});
