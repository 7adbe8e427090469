/**
 * Tests clients that come and leave, an origin that answers in every way that it can, and routes that are
 * purged meanwhile: every client that stays is answered, complete answers are right, and nothing is left
 * behind. `SEED=7 vitest run` uses another seed.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WeirStats } from '../../proxy/runtime/stats.ts';
import { startScriptedOrigin, type ScriptedAnswer, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { askHead, readAll } from './client.ts';

const SEED = Number(process.env['SEED'] ?? 1);
const REQUESTS = 400;
const AT_ONCE = 48;
const THINGS = 12;

/** Mulberry32. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const LEVELS = {
  'memory alone': 'cache: { memory: 8MiB, disk: { path: ./data, size: 0 } }',
  'memory and disk': 'cache: { memory: 2MiB, disk: { path: ./data, size: 64MiB } }',
};

describe.each(Object.entries(LEVELS))(`two workers with %s in turmoil (seed ${SEED})`, (_name, cache) => {
  let origin: ScriptedOrigin;
  let weir: RunningWeir;
  const random = randomFrom(SEED);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;

  beforeAll(async () => {
    origin = await startScriptedOrigin();
    origin.on('*', ({ url, headers }, answer) => answerSomehow(url, headers['if-none-match'], answer));
    weir = await startWeir(`
      listen: { port: 0, workers: 2 }
      ${cache}
      flights: { window: 256KiB }
      origins: { app: { url: "${origin.url}", connections: 16, timeouts: { headers: 2s, body: 2s } } }
    `);
  });

  afterAll(async () => {
    await weir?.stop();
    await origin.close();
  });

  /** The content of a URL is the URL repeated, with a length of its own. */
  const contentOf = (url: string): Buffer => {
    const size = [3, 70_000, 900_000][Number(url.slice(1)) % 3]!;
    return Buffer.alloc(size, `${url} `);
  };

  async function answerSomehow(url: string, etag: string | undefined, answer: ScriptedAnswer): Promise<void> {
    const content = contentOf(url);
    const policy = pick([
      'max-age=60',
      'max-age=0',
      'max-age=0, stale-if-error=60',
      'no-store',
      'private',
      'max-age=0, stale-while-revalidate=60',
    ]);
    const fields = ['Cache-Control', policy, 'ETag', `"${url}"`];
    const choice = random();
    for (let turns = Math.floor(random() * 20); turns > 0; turns -= 1) await nextTurn();
    if (choice < 0.05) answer.cut();
    else if (choice < 0.1) answer.send(pick([500, 503]), ['Cache-Control', 'no-store'], 'trouble');
    else if (etag !== undefined && choice < 0.7) answer.send(304, fields);
    else if (choice > 0.75) await inPieces(answer, fields, content, choice > 0.95);
    else answer.send(200, fields, content);
  }

  async function inPieces(
    answer: ScriptedAnswer,
    fields: string[],
    content: Buffer,
    isCut: boolean,
  ): Promise<void> {
    answer.head(200, [...fields, 'Transfer-Encoding', 'chunked']);
    for (let at = 0; at < content.length; at += 40_000) {
      if (isCut && at > content.length / 2) break;
      await answer.write(content.subarray(at, at + 40_000));
      await nextTurn();
    }
    if (isCut) answer.cut();
    else answer.end();
  }

  /** One client. Resolves with its outcome; complete content must be that of the URL. */
  async function context(): Promise<string> {
    const url = `/${Math.floor(random() * THINGS)}`;
    const leaves = random() < 0.2;
    const message = await askHead(`${weir.url}${url}`).catch(() => null);
    // Cut as soon as it had begun.
    if (message === null) return 'cut';
    if (leaves) {
      message.destroy();
      return 'left';
    }
    const answer = await readAll(message);
    if (answer.status === 200 && answer.whole) {
      expect(answer.body === contentOf(url).toString('latin1'), `${url} is whole and right`).toBe(true);
    } else if (answer.whole) {
      expect([500, 502, 503, 504]).toContain(answer.status);
    }
    return answer.whole ? String(answer.status) : 'cut';
  }

  it('answer all clients that stay, and leave nothing behind', async () => {
    const ends = new Map<string, number>();
    let left = REQUESTS;
    const client = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        if (random() < 0.03) await purge();
        const end = await context();
        ends.set(end, (ends.get(end) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, client));
    expect(ends.get('200')).toBeGreaterThan(REQUESTS / 3);
    let stats: WeirStats;
    do stats = (await weir.stats()) as unknown as WeirStats;
    while (stats.flights.running > 0 || stats.flights.waiting > 0 || stats.connections > 0);
    expect(stats.workers).toEqual({ running: 2, replaced: 0 });
    expect(stats.origins['app']).toMatchObject({ running: 0, queued: 0 });
    expect(weir.lines.filter((line) => line.includes('"level":"error"'))).toEqual([]);
  });

  async function purge(): Promise<void> {
    const response = await weir.admin('/purge', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ urls: [`/${Math.floor(random() * THINGS)}`], mode: pick(['hard', 'soft']) }),
    });
    expect(response.status).toBe(200);
  }
});
