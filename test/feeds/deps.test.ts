import { describe, expect, it } from 'vitest';
import { loadLibrary } from '../../proxy/feeds/deps.ts';

describe('optional client libraries', () => {
  it('are loaded when they are installed', async () => {
    const loaded = await loadLibrary('node:path', () => import('node:path'));
    expect(loaded).toMatchObject({ kind: 'loaded', library: { sep: '/' } });
  });

  it('are named with the cure when they are missing', async () => {
    const name = '@weir-cache/not-installed';
    const loaded = await loadLibrary(name, () => import(/* @vite-ignore */ name) as Promise<unknown>);
    expect(loaded).toMatchObject({
      kind: 'failed',
      failure: {
        kind: 'library',
        retry: 'never',
        message: expect.stringContaining(`npm install ${name}`) as string,
      },
    });
  });

  it("report why they can't be loaded", async () => {
    const loaded = await loadLibrary('pg', () => Promise.reject(new Error('too old')));
    expect(loaded).toMatchObject({
      kind: 'failed',
      failure: { message: "the package pg can't be loaded: too old" },
    });
  });
});
