import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import type { History, Read } from './history.ts';
import type { Random } from './random.ts';
import { versionsOfEtag, VersionedOrigin, type Versions } from './versioned-origin.ts';

/** A request that takes longer has failed. */
const TIMEOUT_MS = 20_000;
const PAUSE_AFTER_FAILURE_MS = 20;

/**
 * Reads without end until the signal, each reader on connections of its own: whole, by HEAD, in part, with the
 * validator that it saw last; a few paths more than others.
 */
export async function readWhile(
  signal: AbortSignal,
  readers: number,
  url: string,
  history: History,
  random: Random,
  hasEtags: boolean,
): Promise<void> {
  await Promise.all(
    Array.from({ length: readers }, () => new Reader(url, history, random.fork(), hasEtags).run(signal)),
  );
}

class Reader {
  readonly #url: string;
  readonly #history: History;
  readonly #random: Random;
  readonly #hasEtags: boolean;
  readonly #etags = new Map<string, string>();

  constructor(url: string, history: History, random: Random, hasEtags: boolean) {
    this.#url = url;
    this.#history = history;
    this.#random = random;
    this.#hasEtags = hasEtags;
  }

  async run(signal: AbortSignal): Promise<void> {
    const agent = new Agent({
      connections: 1,
      pipelining: 1,
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
    });
    const paths = VersionedOrigin.paths();
    while (!signal.aborted) {
      const path = this.#random.below(2) === 0 ? paths[0]! : this.#random.pick(paths);
      try {
        const read = await this.#read(agent, path);
        if (read === null) this.#history.failures += 1;
        else this.#history.reads.push(read);
      } catch {
        // Weir is down, or has cut the connection.
        this.#history.failures += 1;
        await delay(PAUSE_AFTER_FAILURE_MS);
      }
      if (this.#random.below(4) === 0) await delay(this.#random.between(0, 5));
    }
    await agent.destroy();
  }

  async #read(agent: Agent, path: string): Promise<Read | null> {
    const known = this.#etags.get(path);
    const way = this.#hasEtags ? this.#random.below(8) : 7;
    const headers: Record<string, string> = {};
    if (way === 0) headers['range'] = 'bytes=0-3';
    if (way === 1 && known !== undefined) headers['if-none-match'] = known;
    const startedAtMs = performance.now();
    const response = await request(`${this.#url}${path}`, {
      dispatcher: agent,
      method: way === 2 ? 'HEAD' : 'GET',
      headers,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.body.text();
    if (response.statusCode >= 400) return null;
    const etag = response.headers['etag'];
    if (typeof etag === 'string') this.#etags.set(path, etag);
    const how = `${response.statusCode} ${String(response.headers['cache-status'])}`;
    const isWhole = response.statusCode === 200 && way !== 2;
    const versions = isWhole ? (JSON.parse(text) as Versions) : versionsOfEtag(String(etag));
    if (isWhole && typeof etag === 'string' && !isSame(versions, versionsOfEtag(etag))) {
      throw new TornResponse(`${path}: ${text} under ${etag}: ${how}`);
    }
    return { path, startedAtMs, endedAtMs: performance.now(), versions, how };
  }
}

/** Content of one version under the head of another. */
export class TornResponse extends Error {}

function isSame(a: Versions, b: Versions): boolean {
  return Object.entries(a).every(([key, version]) => b[Number(key)] === version);
}
