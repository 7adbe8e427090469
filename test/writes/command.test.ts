import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { main } from '../../proxy/cli/main.ts';
import { freePort } from '../support/free-port.ts';
import { idOf, startScene, type Scene } from './setting.ts';

let scene: Scene;

beforeAll(async () => {
  const port = await freePort();
  scene = await startScene({ more: `admin: { port: ${port} }` });
});

afterAll(() => scene.close());

async function weir(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await main({
    argv: [...argv, '--config', scene.weir.configFile],
    env: {},
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: (text: string) => (err += text) },
    serve: () => Promise.resolve(1),
  });
  return { code, out, err };
}

describe('weir writes', () => {
  it('lists, shows, retries and discards writes', async () => {
    scene.origin.on('PUT *', { status: 400 });
    const id = idOf(await scene.send('PUT', '/items/1', 'x'));
    await expect.poll(async () => (await weir('writes', 'list')).out).toContain(id);
    const shown = await weir('writes', 'show', id, '--json');
    expect(shown.code).toBe(0);
    expect(JSON.parse(shown.out)).toMatchObject({ id, state: 'dead', lastError: 'the origin answered 400' });
    expect((await weir('writes', 'retry', id)).code).toBe(0);
    await expect.poll(async () => (await weir('writes', 'list')).out).toContain(id);
    expect((await weir('writes', 'discard', id)).code).toBe(0);
    expect(await weir('writes', 'list')).toMatchObject({ code: 0, out: 'none\n' });
    expect(await weir('writes', 'show', id)).toMatchObject({ code: 1, out: '' });
  });

  it('reports wrong arguments', async () => {
    expect((await weir('writes', 'burn')).code).toBe(2);
    expect((await weir('writes', 'retry')).code).toBe(2);
    const list = await weir('writes', 'list', '--state', 'lost');
    expect([list.code, list.err]).toEqual([2, expect.stringContaining('expected waiting, dead or done')]);
    const many = await weir('writes', 'list', '--limit', '10000');
    expect([many.code, many.err]).toEqual([2, expect.stringContaining('expected a number from 1 to 9999')]);
  });
});
