import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { clientOf, type ClientIdentity } from './client-identity.ts';
import type { Random } from './random.ts';

/** The versions of keys at one moment, by key. */
export type Versions = Readonly<Record<number, number>>;

/**
 * The kind of the origin's answers:
 *
 * - `plain`: one answer for all clients, fresh for an hour;
 * - `varying`: items differ by language, coding and credentials under one weak validator; pages have one content under one
 *   strong validator, with fields that differ by the client's origin;
 * - `turning`: fresh for a second with long stale windows; each version is a page, a 404 or a private page, and some requests
 *   are answered with a cacheable 503;
 * - `personal`: each user has an answer of its own, which HTTP forbids to reuse for others, after a delay of its own.
 */
export type Character = 'plain' | 'varying' | 'turning' | 'personal';

/** One answer of the origin. */
export interface SentAnswer {
  readonly path: string;
  readonly versions: Versions;
  readonly atMs: number;
}

export interface OriginOptions {
  readonly random: Random;
  readonly character: Character;
  /** The longest time, in milliseconds, from reading the state to sending the answer. */
  readonly slownessMs: number;
  readonly validator: 'etag' | 'last-modified';
  /** The largest lag of a replica, in milliseconds. */
  readonly lagMs: number;
  /** The field in which answers attest their version; null: they do not. */
  readonly versionHeader: string | null;
}

const ITEMS = 24;
const PAGE = 4;

/**
 * An origin that counts the versions of its keys and names in each answer those that it shows. It reads the state first
 * and sends it later, after a real delay, so that changes overtake answers; replicas may lag.
 *
 * `/items/K` shows one key, `/pages/P` four keys, as one read.
 */
export class VersionedOrigin {
  readonly options: OriginOptions;
  readonly #server: Server;
  readonly #random: Random;
  /** By key: each version with the time of its commit. */
  readonly #commits: { version: number; atMs: number; atWallMs: number }[][] = [];
  readonly #positions: { position: string; atMs: number }[] = [];
  /** Every answer that was sent whole, except 5xx, which say nothing about the content. */
  readonly sentAnswers: SentAnswer[] = [];
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

  /** One or two keys of one page. */
  somePair(random: Random): number[] {
    const page = random.below(2) === 0 ? 0 : random.below(ITEMS / PAGE) * PAGE;
    const first = random.below(PAGE);
    return random.below(4) === 0 ? [page + first, page + ((first + 1) % PAGE)] : [page + first];
  }

  /** Commits the next version of each key, all at one moment. */
  commit(keys: readonly number[], atMs: number): Versions {
    const versions: Record<number, number> = {};
    for (const key of keys) {
      const version = this.#commits[key]!.at(-1)!.version + 1;
      this.#commits[key]!.push({ version, atMs, atWallMs: Date.now() });
      versions[key] = version;
    }
    return versions;
  }

  /** Notes the feed's position of the last commit, which answers attest from `atMs` on. */
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
    const entries = keys.map((key, i): [number, number] => [key, shown[i]!.version]);
    const client = clientOf(request.headers);
    const answer = answerOf(this.options.character, request.url ?? '', entries, client, this.#random);
    const headers: Record<string, string> = {
      'Content-Type': 'application/json',
      'Surrogate-Key': keys.map((key) => `k:${key}`).join(' '),
      [VERSIONS_FIELD]: textOf(entries),
      ...answer.headers,
    };
    if (versionHeader !== null) {
      headers[versionHeader] = this.#positions.findLast(({ atMs }) => atMs <= seenMs)?.position ?? '0';
    }
    const changedAtWallMs = Math.max(...shown.map((one) => one.atWallMs));
    const isConfirmed =
      answer.status === 200 && this.#validate(request, headers, answer.etag, changedAtWallMs);
    await delay(this.#random.between(0, slownessMs) * answer.slowness);
    if (response.destroyed) return;
    if (answer.status < 500) {
      const versions = Object.fromEntries(entries);
      response.once('finish', () =>
        this.sentAnswers.push({ path: request.url ?? '', versions, atMs: performance.now() }),
      );
    }
    response.writeHead(isConfirmed ? 304 : answer.status, headers);
    response.end(isConfirmed ? undefined : answer.content);
  }

  /** Adds the validator, and returns whether the request's own validator matches it. */
  #validate(
    request: IncomingMessage,
    headers: Record<string, string>,
    etag: string,
    changedAtWallMs: number,
  ): boolean {
    headers['Date'] = new Date().toUTCString();
    if (this.options.validator === 'etag') {
      headers['ETag'] = etag;
      // Weak comparison (RFC 9110 §8.8.3.2).
      return request.headers['if-none-match']?.includes(etag.replace(/^W\//, '')) === true;
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

type Entries = readonly (readonly [key: number, version: number])[];

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly etag: string;
  readonly content: string | Buffer;
  /** A factor of its delay. */
  readonly slowness: number;
}

/** Directives of responses that only the client that asked may be given; the path chooses one. */
const PERSONAL_DIRECTIVES: readonly Readonly<Record<string, string>>[] = [
  {},
  { 'Cache-Control': 'no-cache' },
  { 'Cache-Control': 'max-age=0' },
  { 'Cache-Control': 'max-age=0, must-revalidate' },
  { 'Cache-Control': 'private, max-age=60' },
  { 'Cache-Control': 'no-store' },
];
const STALE_WINDOWS = 'max-age=1, stale-while-revalidate=600, stale-if-error=600';

function answerOf(
  character: Character,
  path: string,
  entries: Entries,
  client: ClientIdentity,
  random: Random,
): Answer {
  const text = textOf(entries);
  const versions = Object.fromEntries(entries);
  const whole = { status: 200, etag: `"${text}"`, slowness: 1, content: JSON.stringify({ versions }) };
  switch (character) {
    case 'plain':
      return { ...whole, headers: { 'Cache-Control': 'max-age=3600' } };
    case 'varying': {
      const headers = { 'Cache-Control': 'public, max-age=3600' };
      if (path.startsWith('/pages/')) {
        const allowed = { 'Access-Control-Allow-Origin': client.origin, Vary: 'Origin' };
        return { ...whole, headers: { ...headers, ...allowed } };
      }
      const { language, user } = client;
      const plain = JSON.stringify({ versions, language, user });
      const coding: Record<string, string> = client.takesGzip ? { 'Content-Encoding': 'gzip' } : {};
      return {
        ...whole,
        headers: {
          ...headers,
          ...coding,
          'Content-Language': language,
          Vary: 'Accept-Language, Accept-Encoding, Authorization',
        },
        etag: `W/"${text}"`,
        content: client.takesGzip ? gzipSync(plain) : plain,
      };
    }
    case 'turning': {
      const headers = { 'Cache-Control': STALE_WINDOWS };
      if (random.below(8) === 0) return { ...whole, status: 503, headers };
      // The version of a page's last key decides what the page is.
      const turn = entries.at(-1)![1] % 4;
      if (turn === 1) return { ...whole, status: 404, headers: { 'Cache-Control': 'no-store' } };
      if (turn === 3) return { ...whole, headers: { 'Cache-Control': 'private' } };
      return { ...whole, headers };
    }
    case 'personal': {
      const { user } = client;
      const directives =
        PERSONAL_DIRECTIVES[Number(/\d+/.exec(path)?.[0] ?? 0) % PERSONAL_DIRECTIVES.length]!;
      return {
        ...whole,
        headers: directives,
        etag: `"${text}+${user}"`,
        content: JSON.stringify({ versions, user }),
        slowness: 1 + (user.length % 3),
      };
    }
    default:
      return character satisfies never;
  }
}

/** The field of every answer with the versions that it shows. */
export const VERSIONS_FIELD = 'X-Versions';

function textOf(entries: Entries): string {
  return entries.map(([key, version]) => `${key}.${version}`).join('-');
}

/** The versions in an entity tag or in `VERSIONS_FIELD`. */
export function versionsOf(text: string): Versions {
  return Object.fromEntries(
    text
      .replaceAll(/^W\/|"|\+.*$/g, '')
      .split('-')
      .map((part) => part.split('.').map(Number) as [number, number]),
  );
}
