/**
 * Tests the numbers of a Weir with traffic: metrics that Prometheus accepts, and times that people can read.
 */
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/barrier.ts';
import { startScriptedOrigin, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { ask } from './client.ts';

const hasPromtool = spawnSync('promtool', ['--version']).status === 0;

let origin: ScriptedOrigin;
let weir: RunningWeir;

beforeAll(async () => {
  origin = await startScriptedOrigin({
    '/page': { fields: ['Cache-Control', 'max-age=60'], body: 'page' },
    '/private': { fields: ['Cache-Control', 'private'], body: 'mine' },
    'PUT /queue': { status: 204 },
    'POST /page': { status: 204 },
  });
  origin.on('/changes', async (_request, answer) => {
    answer.head(200, ['Content-Type', 'text/event-stream']);
    await answer.write(': head\n\nid: 1\ndata: {"table":"products","id":"1"}\n\n: head\n\n');
    await answer.gone;
  });
  weir = await startWeir(`
    log: { level: info, access: true }
    origins: { app: { url: "${origin.url}", breaker: { failures: 3, open: 100ms }, health: { path: /page, interval: 100ms } } }
    feeds: { changes: { type: sse, url: "${origin.url}/changes", map: [{ invalidate: { tags: ["product:{id}"] } }] } }
    routes:
      - { match: /queue, write: { policy: behind } }
      - { match: /*, cache: { tags: ["product:1"] } }
  `);
  for (const path of ['/page', '/page', '/private', '/none']) await ask(`${weir.url}${path}`);
  await ask(`${weir.url}/page`, { method: 'POST', body: 'x' });
  await ask(`${weir.url}/queue`, { method: 'PUT', body: 'x' });
  await weir.admin('/purge', { method: 'POST', body: '{"urls":["/page"]}' });
  const delivered = async (): Promise<boolean> =>
    (await (await weir.admin('/metrics')).text()).includes('weir_writes_delivered_total 1');
  while (!(await delivered())) await origin.seen('PUT /queue');
  const isLogged = (): boolean => weir.events('request').length >= 6;
  await until(isLogged, 'the access log has every request');
});

afterAll(async () => {
  await weir?.stop();
  await origin.close();
});

describe('the numbers of a Weir with traffic', () => {
  it.skipIf(!hasPromtool)("pass promtool's check", async () => {
    const input = await (await weir.admin('/metrics')).text();
    expect(input).toMatch(/^weir_feed_changes_total\{feed="changes"\} [1-9]/m);
    const { stdout, stderr, status } = spawnSync('promtool', ['check', 'metrics'], {
      input,
      encoding: 'utf8',
    });
    expect(`${stdout}${stderr}`).toBe('');
    expect(status).toBe(0);
  });

  it('have at most three decimals', async () => {
    const paths = ['/stats', '/feeds', '/writes', '/healthz', '/readyz', '/entries?url=/page'];
    const texts = await Promise.all(paths.map(async (path) => (await weir.admin(path)).text()));
    const lines = weir.lines.filter((line) => line.startsWith('{'));
    for (const text of [...texts, ...lines]) expect(JSON.parse(text)).toBeDefined();
    expect([...texts, ...lines].flatMap(longNumbers)).toEqual([]);
    const gauges = (await (await weir.admin('/metrics')).text())
      .split('\n')
      .filter((line) => /^weir_[a-z_]*seconds(?:\{[^}]*\})? /.test(line));
    expect(gauges.length).toBeGreaterThan(0);
    expect(gauges.flatMap(longNumbers)).toEqual([]);
  });
});

/** Numbers with more than three decimals, outside of JSON's strings. */
function longNumbers(text: string): string[] {
  return text.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""').match(/\d+\.\d{4,}/g) ?? [];
}
