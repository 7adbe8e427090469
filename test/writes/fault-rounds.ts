import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'vitest';
import { startScriptedOrigin, type ScriptedRequest } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';

/**
 * Clients write to a few URLs, one client to each, and other clients read them. Weir is killed at random moments and has a
 * journal that is too small; the origin fails in every way that it can. Small and oversized writes, PUT, DELETE and PATCH,
 * behind and through, meet on each URL. Both sides keep ledgers, which are compared when all is quiet. The same seed makes
 * the same requests and the same failures, as far as time allows. The pauses set the pace of the clients, of the origin and
 * of the kills; none of them waits for a condition.
 */
export interface FaultPlan {
  readonly seed: number;
  readonly urls: number;
  readonly writesPerUrl: number;
  readonly kills: number;
}

export interface FaultReport {
  readonly acknowledged: number;
  readonly applied: number;
  readonly reads: number;
  readonly kills: number;
  /**
   * How often Weir gave each answer, by the name in its Cache-Status: `behind`, `through`, `oversize`, `full`
   * …
   */
  readonly answers: ReadonlyMap<string, number>;
  /** One sentence for each broken promise; empty if all were kept. */
  readonly violations: readonly string[];
}

const MAX_PROCESSING_MS = 800;
const MAX_BODY = 512;
/** The longest time that deliveries may take after the last fault. */
const QUIET_MS = 120_000;
/** Room for a few writes of each URL. */
const JOURNAL_BYTES_PER_URL = 4 * 1024;

interface Resource {
  readonly url: string;
  /** The number of the last write sent, and of the last acknowledged. */
  sent: number;
  acknowledged: number[];
  /** Rejected by Weir itself: these must never reach the origin. */
  readonly refused: Set<number>;
  readonly deletes: Set<number>;
  /** The writes that the origin applied, in order. */
  readonly applied: number[];
}

export async function runFaults(plan: FaultPlan): Promise<FaultReport> {
  const random = mulberry32(plan.seed);
  const resources: Resource[] = Array.from({ length: plan.urls }, (_, i) => ({
    // Every other URL sends through Weir when the journal is full.
    url: i % 2 === 0 ? `/items/${i}` : `/open/${i}`,
    sent: 0,
    acknowledged: [],
    refused: new Set(),
    deletes: new Set(),
    applied: [],
  }));
  const resourceOf = (url: string): Resource => resources.find((resource) => resource.url === url)!;
  const violations: string[] = [];
  const keys = new Set<string>();
  const answers = new Map<string, number>();
  let isCalm = false;
  let reads = 0;

  const origin = await startScriptedOrigin();
  const apply = (request: ScriptedRequest): void => {
    const key = String(request.headers['idempotency-key'] ?? '');
    // A request that was applied under this key is answered again, and not applied again.
    if (key !== '' && keys.has(key)) return;
    if (key !== '') keys.add(key);
    resourceOf(request.url).applied.push(Number(request.headers['x-number']));
  };
  for (const method of ['PUT', 'PATCH', 'DELETE']) {
    origin.on(`${method} *`, async (request, answer) => {
      await request.received.catch(() => null);
      const chance = isCalm ? 1 : random();
      if (chance < 0.08) return answer.reset();
      if (chance < 0.16) {
        apply(request);
        return answer.reset();
      }
      if (chance < 0.22) {
        // Applied long after the client has gone, but within max-processing.
        setTimeout(() => apply(request), MAX_PROCESSING_MS * 0.5 * random());
        return answer.reset();
      }
      if (chance < 0.3) return answer.send(503, ['Retry-After', '0']);
      if (chance < 0.36) return answer.send(429);
      if (chance < 0.5) await pause(random() * 60);
      apply(request);
      return answer.send(204);
    });
  }
  origin.on('GET *', (request) => {
    const resource = resourceOf(request.url);
    const last = resource.applied.at(-1);
    if (last === undefined || resource.deletes.has(last)) return { status: 404, fields: FRESH };
    return { fields: FRESH, body: String(last) };
  });

  const behind = `policy: behind, reads: pending, max-body: ${MAX_BODY}B, retry: { base: 5ms, max: 60ms, attempts: 10000 }`;
  const yaml = `
    origins: { shop: { url: "${origin.url}", max-processing: ${MAX_PROCESSING_MS}ms, queue: { timeout: 2s } } }
    journal: { size: ${plan.urls * JOURNAL_BYTES_PER_URL}B }
    routes:
      - name: through
        match: { path: /*, methods: [PATCH] }
        write: { policy: through }
      - { name: item, match: "/items/{id}", write: { ${behind} } }
      - { name: open, match: "/open/{id}", write: { ${behind}, oversize: through, on-full: through } }`;
  let weir: RunningWeir = await startWeir(yaml);
  const readers = new AbortController();
  let up: Promise<unknown> = Promise.resolve();

  const ask = async (url: string, init: RequestInit): Promise<Response | null> => {
    try {
      return await fetch(`${weir.url}${url}`, init);
    } catch {
      // Weir was killed during the request: it is unknown whether the write was accepted.
      return null;
    }
  };

  const write = async (resource: Resource): Promise<void> => {
    for (let i = 0; i < plan.writesPerUrl; i += 1) {
      await up;
      const number = resource.sent + 1;
      resource.sent = number;
      const headers = { 'X-Number': String(number) };
      const chance = random();
      const isThrough = chance < 0.2;
      const isTooLarge = chance > 0.95;
      const method = isThrough ? 'PATCH' : chance < 0.35 ? 'DELETE' : 'PUT';
      if (method === 'DELETE') resource.deletes.add(number);
      const body = String(number).padEnd(isTooLarge ? MAX_BODY * 2 : 1);
      const response = await ask(resource.url, { method, headers, ...(method === 'DELETE' ? {} : { body }) });
      await response?.arrayBuffer().catch(() => null);
      if (response === null) continue;
      const { status } = response;
      const reason = reasonOf(response);
      answers.set(reason, (answers.get(reason) ?? 0) + 1);
      if (status === 202 || status === 204) resource.acknowledged.push(number);
      if (REFUSALS.has(reason)) resource.refused.add(number);
      if (status === 202 && isTooLarge && method === 'PUT') {
        violations.push(`${resource.url}: a body beyond the limit was accepted`);
      }
      if (status === 503) await pause(30);
    }
  };

  const read = async (resource: Resource): Promise<void> => {
    while (!readers.signal.aborted) {
      const least = resource.acknowledged.at(-1) ?? 0;
      const response = await ask(resource.url, {});
      const text = await response?.text().catch(() => null);
      if (response === null || text === null || text === undefined || response.status >= 500) {
        await pause(20);
        continue;
      }
      reads += 1;
      const isFine =
        response.status === 404
          ? least === 0 || [...resource.deletes].some((number) => number >= least)
          : Number(text) >= least;
      if (!isFine) {
        violations.push(
          `${resource.url}: read ${response.status} ${text.trim()} after ${least} was acknowledged`,
        );
      }
      await pause(2);
    }
  };

  const killing = async (): Promise<void> => {
    for (let i = 0; i < plan.kills; i += 1) {
      await pause(200 + random() * 600);
      const { folder } = weir;
      const { promise, resolve } = Promise.withResolvers<void>();
      up = promise;
      await weir.kill();
      weir = await startWeir(yaml, { folder });
      resolve();
    }
  };

  const reading = resources.map(read);
  await Promise.all([...resources.map(write), killing()]);
  isCalm = true;
  await untilQuiet(() => weir);
  readers.abort();
  await Promise.all(reading);
  for (const resource of resources) violations.push(...compare(resource));
  await weir.stop();
  await origin.close();
  return {
    acknowledged: resources.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0),
    applied: resources.reduce((sum, { applied }) => sum + applied.length, 0),
    reads,
    kills: plan.kills,
    answers,
    violations,
  };
}

/** Weir's error responses before anything is sent. */
const REFUSALS = new Set(['full', 'too-large', 'busy', 'not-durable', 'receiving']);

function reasonOf(response: Response): string {
  const status = response.headers.get('cache-status') ?? '';
  // With `full`, a write that was sent through was not rejected.
  const isSent = status.includes('fwd=');
  const reason = /detail=([\w-]+)/.exec(status)?.[1] ?? 'none';
  return isSent && REFUSALS.has(reason) ? `${reason}-through` : reason;
}

const FRESH = ['Cache-Control', 'max-age=600', 'ETag', '"x"'];

/** Resolves once no write is left to deliver and no hold is left, or a write is dead. */
async function untilQuiet(weir: () => RunningWeir): Promise<void> {
  const isQuiet = async (): Promise<boolean> => {
    const { writes } = (await weir().stats()) as { writes: Record<string, number> };
    const isIdle = writes['waiting'] === 0 && writes['lingering'] === 0 && writes['delivering'] === 0;
    return isIdle || writes['dead']! > 0;
  };
  await expect.poll(isQuiet, { timeout: QUIET_MS }).toBe(true);
}

function compare({ url, acknowledged, refused, applied, sent }: Resource): string[] {
  const found: string[] = [];
  const known = new Set(applied);
  const lost = acknowledged.filter((number) => !known.has(number));
  if (lost.length > 0) found.push(`${url}: acknowledged and not applied: ${lost.join(', ')}`);
  const sneaked = applied.filter((number) => refused.has(number));
  if (sneaked.length > 0) found.push(`${url}: refused and applied: ${sneaked.join(', ')}`);
  if (known.size !== applied.length) found.push(`${url}: applied twice: ${applied.join(', ')}`);
  // Each was sent after the one before it was answered, so this also holds for those of unknown outcome.
  if (applied.some((number, i) => i > 0 && number < applied[i - 1]!)) {
    found.push(`${url}: applied out of order: ${applied.join(', ')}`);
  }
  const last = acknowledged.at(-1) ?? 0;
  const state = applied.at(-1) ?? 0;
  // A later write that was not acknowledged may have been accepted nevertheless.
  if (state < last || state > sent) found.push(`${url}: ends with ${state}, acknowledged last was ${last}`);
  return found;
}

function mulberry32(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
