import type { IncomingHttpHeaders } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { Agent, request } from 'undici';
import { fieldsOf, someClient, type ClientIdentity } from './client-identity.ts';
import type { History, Read } from './history.ts';
import type { Random } from './random.ts';
import {
  VERSIONS_FIELD,
  VersionedOrigin,
  versionsOf,
  type Character,
  type OriginOptions,
  type Versions,
} from './versioned-origin.ts';

/** A request that takes longer counts as failed. */
const TIMEOUT_MS = 20_000;
const PAUSE_AFTER_FAILURE_MS = 20;

/**
 * Reads until the signal, each reader on its own connection: by GET, by HEAD, ranges, and with the ETag that it has seen
 * last. One path is read more often than the others.
 */
export async function readWhile(
  signal: AbortSignal,
  readers: number,
  url: string,
  history: History,
  random: Random,
  origin: Pick<OriginOptions, 'character' | 'validator'>,
): Promise<void> {
  await Promise.all(
    Array.from({ length: readers }, () => new Reader(url, history, random.fork(), origin).run(signal)),
  );
}

class Reader {
  readonly #url: string;
  readonly #history: History;
  readonly #random: Random;
  readonly #hasEtags: boolean;
  readonly #character: Character;
  readonly #client: ClientIdentity;
  readonly #etags = new Map<string, string>();

  constructor(
    url: string,
    history: History,
    random: Random,
    { character, validator }: Pick<OriginOptions, 'character' | 'validator'>,
  ) {
    this.#url = url;
    this.#history = history;
    this.#random = random;
    this.#hasEtags = validator === 'etag';
    this.#character = character;
    this.#client = someClient(random);
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
    const kind = this.#hasEtags ? this.#random.below(8) : 7;
    const headers: Record<string, string> = this.#identity();
    if (kind === 0) headers['range'] = 'bytes=0-3';
    if (kind === 1 && known !== undefined) headers['if-none-match'] = known;
    const startedAtMs = performance.now();
    const response = await request(`${this.#url}${path}`, {
      dispatcher: agent,
      method: kind === 2 ? 'HEAD' : 'GET',
      headers,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const content = Buffer.from(await response.body.arrayBuffer());
    const field = response.headers[VERSIONS_FIELD.toLowerCase()];
    if (response.statusCode >= 500 || typeof field !== 'string') return null;
    const { etag } = response.headers;
    if (typeof etag === 'string') this.#etags.set(path, etag);
    const how = `${response.statusCode} ${String(response.headers['cache-status'])}`;
    const versions = versionsOf(field);
    const isWhole = response.statusCode === 200 && kind !== 2;
    const wrong = this.#wrongIn(versions, response.headers, isWhole ? content : null);
    if (wrong !== null)
      this.#history.wrong.push(`${path}, asked at ${startedAtMs.toFixed(1)}: ${wrong}: ${how}`);
    return { path, startedAtMs, endedAtMs: performance.now(), versions, how };
  }

  #identity(): Record<string, string> {
    switch (this.#character) {
      case 'plain':
      case 'turning':
        return {};
      case 'varying':
        return fieldsOf(this.#client, 'authorization');
      case 'personal':
        return fieldsOf(this.#client);
      default:
        return this.#character satisfies never;
    }
  }

  /** What in the response is for another client or of another version, as a message; null: nothing. */
  #wrongIn(versions: Versions, headers: IncomingHttpHeaders, content: Buffer | null): string | null {
    const { language, takesGzip, origin, user } = this.#client;
    const { etag } = headers;
    if (typeof etag === 'string' && !isSame(versions, versionsOf(etag)))
      return `another version's ETag, ${etag}`;
    if (this.#character === 'varying') {
      if ((headers['content-language'] ?? language) !== language) return `not in ${language}`;
      if ((headers['access-control-allow-origin'] ?? origin) !== origin) return `not for ${origin}`;
      if (headers['content-encoding'] === 'gzip' && !takesGzip)
        return 'coded as gzip, which the client does not accept';
    }
    if (content === null) return null;
    const text = (headers['content-encoding'] === 'gzip' ? gunzipSync(content) : content).toString();
    const shown = JSON.parse(text) as Shown;
    if (!isSame(versions, shown.versions)) return `another version's content, ${text}`;
    if ((shown.language ?? language) !== language) return `content not in ${language}, ${text}`;
    if ((shown.user ?? user) !== user) return `content not for ${user}, ${text}`;
    return null;
  }
}

/** The content of a response. */
interface Shown {
  readonly versions: Versions;
  readonly language?: string;
  readonly user?: string;
}

function isSame(a: Versions, b: Versions): boolean {
  return Object.entries(a).every(([key, version]) => b[Number(key)] === version);
}
