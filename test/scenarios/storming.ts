/**
 * A storm of purges of a prefix with hot keys, from several connections at once, while clients request the
 * keys.
 */
import { Agent, request } from 'node:http';
import type { FlightStats } from '../../proxy/runtime/stats.ts';
import { startWeir } from '../support/weir.ts';
import { startScriptedOrigin } from '../support/scripted-origin.ts';
import { ask } from './client.ts';
import { isIdle, untilFlights } from './observed.ts';

const KEYS = 3;
const CLIENTS = 12;
/** The origin answers when this many purges have been answered since the request, at any speed. */
const PURGES_AN_ANSWER = 100;
/** Concurrent purges: those that arrive during a sync share the next one. */
const PURGERS = 64;

export interface Storm {
  readonly purges: number;
  /** From the first to the last purge. */
  readonly seconds: number;
  /** For each client, the statuses of its answers. */
  readonly answers: readonly (readonly number[])[];
  /** The largest number of concurrent requests for one key at the origin, and the number of all requests. */
  readonly mostAtOrigin: number;
  readonly originRequests: number;
  readonly flights: FlightStats;
}

/** Continues until this many purges were answered, and every client got two answers. */
export async function storm(purgesWanted: number): Promise<Storm> {
  const origin = await startScriptedOrigin();
  const running = new Map<string, number>();
  let mostAtOrigin = 0;
  let purges = 0;
  const answers: number[][] = Array.from({ length: CLIENTS }, () => []);
  const isOver = (): boolean => purges >= purgesWanted && answers.every(({ length }) => length >= 2);
  const held: { readonly dueAt: number; answer(): void }[] = [];
  const answerDue = (): void => {
    while (held.length > 0 && (isOver() || held[0]!.dueAt <= purges)) held.shift()!.answer();
  };
  origin.on('*', async ({ url }) => {
    const now = (running.get(url) ?? 0) + 1;
    running.set(url, now);
    mostAtOrigin = Math.max(mostAtOrigin, now);
    const dueAt = purges + PURGES_AN_ANSWER;
    if (!isOver()) await new Promise<void>((answer) => held.push({ dueAt, answer }));
    running.set(url, running.get(url)! - 1);
    return { fields: ['Cache-Control', 'max-age=60'], body: 'content' };
  });
  const weir = await startWeir(`
    origins: { app: { url: "${origin.url}" } }
    routes: [{ name: all, match: /* }]
  `);
  const agent = new Agent({ keepAlive: true, maxSockets: PURGERS });
  const purger = async (): Promise<void> => {
    while (!isOver()) {
      const status = await purgeHot(`${weir.adminUrl}/purge`, agent);
      if (status !== 200) throw new Error(`a purge was answered with ${status}`);
      purges += 1;
      answerDue();
    }
  };
  const client = async (n: number): Promise<void> => {
    while (!isOver()) {
      answers[n]!.push((await ask(`${weir.url}/hot/${n % KEYS}`)).status);
      answerDue();
    }
  };
  const startedMs = performance.now();
  const purged = Promise.all(Array.from({ length: PURGERS }, purger)).then(() => performance.now());
  await Promise.all([purged, ...answers.map((_, n) => client(n))]);
  const seconds = ((await purged) - startedMs) / 1000;
  const flights = await untilFlights(weir, isIdle);
  agent.destroy();
  await weir.stop();
  await origin.close();
  return { purges, seconds, answers, mostAtOrigin, originRequests: origin.count(), flights };
}

const BODY = JSON.stringify({ prefixes: ['/hot'] });

function purgeHot(url: string, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST', agent }, (message) => {
      message.resume();
      message.once('end', () => resolve(message.statusCode ?? 0));
    });
    sent.once('error', reject);
    sent.end(BODY);
  });
}
