import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from './random.ts';

/** Versions of keys at one moment. */
export type Versions = Readonly<Record<number, number>>;

export interface OriginOptions {
  readonly random: Random;
  /** The longest that an answer takes after its state was read. */
  readonly slownessMs: number;
  readonly validator: 'etag' | 'last-modified';
  /** The most by which a replica that answers is behind. */
  readonly lagMs: number;
  /** The field by which answers say how current they are; null: they do not. */
  readonly versionHeader: string | null;
}

const ITEMS = 24;
const PAGE = 4;

/**
 * An origin that counts the versions of its keys and says in each answer which it shows. The state is read first and
 * sent later, so that answers overtake changes; replicas may lag.
 *
 * `/items/K` shows one key, `/pages/P` four of them, as one read.
 */
export class VersionedOrigin {
  readonly options: OriginOptions;
  readonly #server: Server;
  readonly #random: Random;
  /** By key: each version with the time of its commit. */
  readonly #commits: { version: number; atMs: number; atWallMs: number }[][] = [];
  readonly #positions: { position: string; atMs: number }[] = [];
  requests = 0;

  private constructor(options: OriginOptions) {
    this.options = options;
    this.#random = options.random;
    this.#server = createServer((request, response) => void this.#answer(request, response));
    this.#server.keepAliveTimeout = 65_000;
    for (let key = 0; key < ITEMS; key += 1) {
      this.#commits.push([{ version: 0, atMs: -Infinity, atWallMs: Date.now() - 60_000 }]);
    }
  }

  static async start(options: OriginOptions): Promise<VersionedOrigin> {
    const origin = new VersionedOrigin(options);
    origin.#server.listen(0, '127.0.0.1');
    await once(origin.#server, 'listening');
    return origin;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  static paths(): string[] {
    const items = Array.from({ length: ITEMS }, (_, key) => `/items/${key}`);
    return [...Array.from({ length: ITEMS / PAGE }, (_, page) => `/pages/${page}`), ...items];
  }

  /** Keys that are shown together. */
  somePair(random: Random): number[] {
    const page = random.below(2) === 0 ? 0 : random.below(ITEMS / PAGE) * PAGE;
    const first = random.below(PAGE);
    return random.below(4) === 0 ? [page + first, page + ((first + 1) % PAGE)] : [page + first];
  }

  /** The next version of each key, all at one moment. */
  commit(keys: readonly number[], atMs: number): Versions {
    const versions: Record<number, number> = {};
    for (const key of keys) {
      const version = this.#commits[key]!.at(-1)!.version + 1;
      this.#commits[key]!.push({ version, atMs, atWallMs: Date.now() });
      versions[key] = version;
    }
    return versions;
  }

  /** The feed's position of what was committed last; told before anybody reads it. */
  committedAt(position: string, atMs: number): void {
    this.#positions.push({ position, atMs });
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests += 1;
    const { lagMs, slownessMs, versionHeader } = this.options;
    await delay(this.#random.between(0, slownessMs / 4));
    const seenMs = performance.now() - (lagMs === 0 ? 0 : this.#random.between(0, lagMs));
    const keys = keysOf(request.url ?? '');
    const shown = keys.map((key) => this.#commits[key]!.findLast(({ atMs }) => atMs <= seenMs)!);
    const headers: Record<string, string> = {
      'Content-Type': 'application/json',
      'Cache-Control': 'max-age=3600',
      'Surrogate-Key': keys.map((key) => `k:${key}`).join(' '),
    };
    if (versionHeader !== null) {
      headers[versionHeader] = this.#positions.findLast(({ atMs }) => atMs <= seenMs)?.position ?? '0';
    }
    const entries = keys.map((key, i): [number, number] => [key, shown[i]!.version]);
    const isConfirmed = this.#validate(
      request,
      headers,
      entries,
      Math.max(...shown.map((one) => one.atWallMs)),
    );
    await delay(this.#random.between(0, slownessMs));
    if (response.destroyed) return;
    response.writeHead(isConfirmed ? 304 : 200, headers);
    response.end(isConfirmed ? undefined : JSON.stringify(Object.fromEntries(entries)));
  }

  /** Adds the validator, and says whether the request's own is still good. */
  #validate(
    request: IncomingMessage,
    headers: Record<string, string>,
    entries: readonly (readonly [number, number])[],
    changedAtWallMs: number,
  ): boolean {
    headers['Date'] = new Date().toUTCString();
    if (this.options.validator === 'etag') {
      const etag = etagOf(entries);
      headers['ETag'] = etag;
      return request.headers['if-none-match']?.includes(etag) === true;
    }
    const lastModified = new Date(changedAtWallMs).toUTCString();
    headers['Last-Modified'] = lastModified;
    const since = request.headers['if-modified-since'];
    return since !== undefined && Date.parse(since) >= Date.parse(lastModified);
  }
}

function keysOf(path: string): number[] {
  const number = Number(/\d+/.exec(path)?.[0] ?? 0);
  return path.startsWith('/pages/') ? Array.from({ length: PAGE }, (_, i) => number * PAGE + i) : [number];
}

/** Says which versions it stands for. */
function etagOf(entries: readonly (readonly [number, number])[]): string {
  return `"${entries.map(([key, version]) => `${key}.${version}`).join('-')}"`;
}

export function versionsOfEtag(etag: string): Versions {
  return Object.fromEntries(
    etag
      .replaceAll('"', '')
      .split('-')
      .map((part) => part.split('.').map(Number) as [number, number]),
  );
}
