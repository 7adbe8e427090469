import { describe, expect, it } from 'vitest';
import { gate } from '../support/barrier.ts';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { ask, askHead } from './client.ts';

let origin: ScriptedOrigin;
let weir: RunningWeir;

useWeir(
  (url) => `
    cache: { max-object: 16KiB }
    origins: { app: { url: "${url}" } }
    routes: [{ name: all, match: /* }]`,
  (started) => ({ origin, weir } = started),
);

describe('content whose clients have all left', () => {
  it('is fetched to its end where it can be stored', async () => {
    const left = gate();
    origin.on('/small', async (_request, answer) => {
      answer.head(200, ['Cache-Control', 'max-age=600']);
      await answer.write('first ');
      await left.promise;
      await answer.write('and last');
      answer.end();
    });
    const message = await askHead(`${weir.url}/small`);
    message.destroy();
    left.open();
    await expect.poll(async () => (await ask(`${weir.url}/small`)).body).toBe('first and last');
    expect(origin.count('/small')).toBe(1);
  });

  it('is given up when it is too large to be stored, whichever worker asks for which', async () => {
    const paths = Array.from({ length: 8 }, (_, n) => `/endless/${n}`);
    const ended: string[] = [];
    const left = gate();
    for (const path of paths) {
      origin.on(path, async (_request, answer) => {
        const gone = answer.gone.then(() => true);
        answer.head(200, ['Cache-Control', 'max-age=600']);
        await answer.write('first');
        await left.promise;
        while (!(await Promise.race([gone, answer.write('x'.repeat(1024)).then(() => false)])));
        ended.push(path);
      });
    }
    for (const path of paths) (await askHead(`${weir.url}${path}`)).destroy();
    await expect.poll(async () => (await weir.stats())['connections']).toBe(0);
    left.open();
    await expect.poll(() => ended.toSorted()).toEqual(paths);
  });
});
