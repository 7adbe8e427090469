/** Tests that clients that choose the URLs of their writes can't cause other entries to be revalidated. */
import { hash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { ask, cacheStatusOf } from './client.ts';

const RECORDS = 7_000;
let origin: ScriptedOrigin;
let weir: RunningWeir;

useWeir(
  (url) => `
    listen: { port: 0, workers: 1 }
    fence: { records: ${RECORDS} }
    cache: { memory: 16MiB, disk: { path: ./data, size: 0 } }
    origins: { app: { url: "${url}" } }
  `,
  (started) => ({ origin, weir } = started),
);

/**
 * Targets whose tags share a bucket with `all` by an unkeyed hash, in this table and in one of the default
 * size.
 */
function colliding(): string[] {
  const bucketOf = (tag: string): number => hash('sha1', tag, 'buffer').readUInt32LE(0) % (RECORDS / 7);
  const found: string[] = [];
  for (let x = 0; found.length < 100; x += 1) {
    if (bucketOf(`url:/login?x=${x}`) === bucketOf('all')) found.push(`/login?x=${x}`);
  }
  const known = [5987, 175526, 1696260, 1780335, 2117731, 2825420, 3222069, 3290381, 3650577];
  return [...known.map((x) => `/login?x=${x}`), ...found];
}

describe('writes to URLs that collide by an unkeyed hash', () => {
  it('leave entries fresh', async () => {
    origin.on('/page', { fields: ['Cache-Control', 'max-age=600'], body: 'page' });
    for (const target of colliding()) origin.on(target, { status: 200, body: 'x' });
    await ask(`${weir.url}/page`);
    for (const target of colliding()) await ask(`${weir.url}${target}`, { method: 'POST' });
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(`${weir.url}/page`)));
    expect(answers.filter((answer) => cacheStatusOf(answer)['hit'] === true)).toHaveLength(20);
  });
});
