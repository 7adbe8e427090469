/** Tests the operator's view: after a known series of requests every number is known. */
import { describe, expect, it } from 'vitest';
import type { WeirStats } from '../../proxy/runtime/stats.ts';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';
import { ask, cacheStatusOf } from './client.ts';

const MIB = 2 ** 20;

describe.each([1, 2])('with %i worker(s) and only memory, Weir', (workers) => {
  let origin: ScriptedOrigin;
  let weir: RunningWeir;

  useWeir(
    (url) => `
      listen: { port: 0, workers: ${workers} }
      cache: { memory: 4MiB, disk: { path: ./data, size: 0 } }
      origins: { app: { url: "${url}" } }
      routes:
        - { name: pages, match: "/pages/{id}", cache: { tags: ["page:{id}"] } }
        - { name: small, match: /small/* }
        - { name: all, match: /* }
    `,
    (started) => ({ origin, weir } = started),
  );

  const stats = async (): Promise<WeirStats> => (await weir.stats()) as unknown as WeirStats;
  const post = (path: string, body: object): Promise<Response> =>
    weir.admin(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });

  it('counts requests by route, outcome and reason, bytes and times', async () => {
    origin.on('/pages/*', {
      fields: ['Cache-Control', 'max-age=60', 'Last-Modified', 'Thu, 01 Jan 2026 00:00:00 GMT'],
      body: '0123456789',
    });
    origin.on('/private', { fields: ['Cache-Control', 'private'], body: '01234' });
    for (let i = 0; i < 5; i += 1) await ask(`${weir.url}/pages/1`);
    for (let i = 0; i < 3; i += 1) await ask(`${weir.url}/private`);
    await ask(`${weir.url}/pages/1`, { method: 'HEAD' });
    await ask(`${weir.url}/pages/1`, { headers: { 'If-Modified-Since': new Date().toUTCString() } });
    await ask(`${weir.url}/pages/1`, { headers: { Range: 'bytes=0-2' } });
    await ask(`${weir.url}/pages/1`, { method: 'POST' });
    const metrics = await (await weir.admin('/metrics')).text();
    const value = (name: string): number =>
      Number(
        metrics
          .split('\n')
          .find((line) => line.startsWith(`${name} `))
          ?.split(' ')[1],
      );
    const requests = [
      ...metrics.matchAll(/^weir_requests_total\{route="(\w+)",outcome="(\w+)",.*\} (\d+)$/gm),
    ];
    const counted = new Map<string, number>();
    for (const [, route, outcome, count] of requests) {
      const name = `${route} ${outcome}`;
      counted.set(name, (counted.get(name) ?? 0) + Number(count));
    }
    expect(Object.fromEntries(counted)).toEqual({
      'pages miss': 1,
      'pages hit': 7,
      'pages write': 1,
      'all pass': 3,
    });
    // Four whole bodies and a part of three bytes; HEAD and 304 have no content.
    expect(value('weir_response_bytes_total{route="pages",outcome="miss"}')).toBe(10);
    expect(value('weir_response_bytes_total{route="pages",outcome="hit"}')).toBe(43);
    expect(value('weir_response_bytes_total{route="all",outcome="pass"}')).toBe(15);
    expect(value('weir_request_duration_seconds_count{route="pages",kind="hit"}')).toBe(7);
    expect(value('weir_responses_total{route="pages",status="3xx"}')).toBe(1);
    expect(value('weir_request_duration_seconds_count{route="pages",kind="miss"}')).toBe(1);
    expect(value('weir_origin_duration_seconds_count{route="pages"}')).toBe(2);
    expect(value('weir_origin_duration_seconds_count{route="all"}')).toBe(3);
    expect((await stats()).origins['app']).toMatchObject({ requests: 5, failures: 0, running: 0, queued: 0 });
    expect((await stats()).workers).toEqual({ running: workers, replaced: 0 });
    expect(await stats()).toMatchObject({ flights: { outrun: 0 }, writes: { lingering: 0 } });
  });

  it('finds in a dry run what a purge would reach, each entry once, and changes nothing', async () => {
    origin.on('/pages/*', { fields: ['Cache-Control', 'max-age=60'], body: 'x' });
    for (const id of [7, 8]) for (let i = 0; i < 8; i += 1) await ask(`${weir.url}/pages/${id}`);
    const dry = await (await post('/purge', { tags: ['page:7'], dryRun: true })).json();
    expect(dry).toEqual({ entries: 1, sample: ['/pages/7'], complete: true });
    const prefix = await (await post('/purge', { prefixes: ['/pages'], dryRun: true })).json();
    expect(prefix).toMatchObject({ complete: true });
    expect((prefix as { entries: number }).entries).toBeGreaterThanOrEqual(2);
    expect(cacheStatusOf(await ask(`${weir.url}/pages/7`))).toMatchObject({ hit: true });
    await post('/purge', { tags: ['page:7'] });
    expect(cacheStatusOf(await ask(`${weir.url}/pages/7`))).not.toHaveProperty('hit');
    expect(cacheStatusOf(await ask(`${weir.url}/pages/8`))).toMatchObject({ hit: true });
  });

  it('keeps the memory limit over all workers, and counts evictions', async () => {
    origin.on('/small/*', {
      fields: ['Cache-Control', 'max-age=600', 'X-Long', 'l'.repeat(4_000)],
      body: 'tiny',
    });
    for (let i = 0; i < 12; i += 1) {
      await Promise.all(Array.from({ length: 64 }, (_, j) => ask(`${weir.url}/small/${i}-${j}`)));
    }
    const { memory } = await stats();
    expect(memory.limitBytes).toBe(4 * MIB);
    expect(memory.bytes).toBeLessThanOrEqual(4 * MIB);
    expect(memory.bytes).toBeGreaterThan(2 * MIB);
    expect(memory.evictions).toBeGreaterThan(100);
    // An entry takes much more than the four bytes of its content: fields, key, tags and the index.
    expect(memory.bytes / memory.entries).toBeGreaterThan(1_500);
  });

  it('is ready, healthy, and shows its version', async () => {
    expect((await weir.admin('/readyz')).status).toBe(200);
    expect((await weir.admin('/healthz')).status).toBe(200);
    expect((await stats()).version).toMatch(/^\d+\.\d+\.\d+/);
  });
});
