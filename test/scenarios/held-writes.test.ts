/**
 * Tests that holds of writes of unknown outcome are limited for each client and in all, over all workers and
 * restarts.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startScriptedOrigin, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { ask, type Answer } from './client.ts';

let origin: ScriptedOrigin;
let weir: RunningWeir;
let yaml: string;

beforeAll(async () => {
  origin = await startScriptedOrigin();
  yaml = `
    listen: { port: 0, workers: 2, trusted-proxies: [127.0.0.1] }
    cache: { memory: 16MiB, disk: { path: ./data, size: 0 } }
    writes: { held-per-client: 3, held: 5 }
    origins: { app: { url: "${origin.url}", max-processing: 10m } }
    routes:
      - { name: through, match: /through/*, write: { policy: through } }
      - { name: around, match: /* }
  `;
  weir = await startWeir(yaml);
  for (const policy of ['around', 'through']) {
    for (let i = 0; i < 10; i += 1) {
      origin.on(`POST /${policy}/lost/${i}`, (_asked, answer) => answer.reset());
      origin.on(`POST /${policy}/done/${i}`, { status: 204 });
      origin.on(`POST /${policy}/refused/${i}`, { status: 403 });
    }
  }
});

afterAll(async () => {
  await weir?.stop();
  await origin.close();
});

const post = (target: string, client: string): Promise<Answer> =>
  ask(`${weir.url}${target}`, { method: 'POST', headers: { 'X-Forwarded-For': client }, body: 'x' });

const sent = (): number => origin.requests.filter(({ method }) => method === 'POST').length;

async function writes() {
  return (await weir.stats())['writes'] as { held: number; refused: { client: number; all: number } };
}

describe('writes of unknown outcome', () => {
  it('are limited for a client and in all, over all workers and after a restart', async () => {
    for (let i = 0; i < 10; i += 1) {
      expect((await post(`/around/done/${i}`, '192.0.2.1')).status).toBe(204);
      expect((await post(`/through/done/${i}`, '192.0.2.1')).status).toBe(204);
      expect((await post(`/around/refused/${i}`, '192.0.2.1')).status).toBe(403);
      expect((await post(`/through/refused/${i}`, '192.0.2.1')).status).toBe(403);
    }
    await expect.poll(async () => (await writes()).held).toBe(0);
    for (let i = 0; i < 3; i += 1) {
      const policy = i % 2 === 0 ? 'around' : 'through';
      expect((await post(`/${policy}/lost/${i}`, '192.0.2.1')).status).toBe(502);
    }
    expect((await writes()).held).toBe(3);
    const before = sent();
    for (let i = 5; i < 10; i += 1) {
      for (const policy of ['around', 'through']) {
        const refused = await post(`/${policy}/done/${i}`, '192.0.2.1');
        expect(refused.status).toBe(429);
        expect(refused.headers).toMatchObject({
          'retry-after': '1',
          'content-type': 'application/problem+json',
          'proxy-status': 'weir; error=http_request_denied; details="held-per-client"',
          'cache-status': 'weir; detail=held-per-client',
        });
      }
    }
    expect(sent()).toBe(before);
    expect((await post('/around/lost/3', '192.0.2.2')).status).toBe(502);
    expect((await post('/through/lost/4', '192.0.2.2')).status).toBe(502);
    for (const policy of ['around', 'through']) {
      const refused = await post(`/${policy}/done/5`, '192.0.2.3');
      expect(refused.status).toBe(503);
      expect(refused.headers).toMatchObject({
        'retry-after': '1',
        'proxy-status': 'weir; error=http_request_denied; details="held"',
      });
    }
    expect(await writes()).toMatchObject({ held: 5, refused: { client: 10, all: 2 } });
    const text = await (await weir.admin('/metrics')).text();
    expect(text).toContain('weir_writes_held 5');
    expect(text).toContain('weir_writes_refused_total{bound="client"} 10');
    expect(text).toContain('weir_writes_refused_total{bound="all"} 2');
    expect(weir.events('writes-refused')).toHaveLength(1);

    const { folder } = weir;
    await weir.stop({ keep: true });
    weir = await startWeir(yaml, { folder });
    expect((await writes()).held).toBe(5);
    expect((await post('/around/done/6', '192.0.2.1')).status).toBe(429);
    expect((await post('/around/done/6', '192.0.2.3')).status).toBe(503);
  });
});
