/** The rows of the table: requests, servers and sizes of stores. */
import type { Requests } from './wrk.ts';

export const SERVERS = ['weir', 'nginx', 'varnish', 'haproxy', 'node'] as const;
export type ServerName = (typeof SERVERS)[number];

export const COMPARED_ROWS = [
  'hit',
  'hit-many',
  'not-modified',
  'hit-64k',
  'disk-hit',
  'disk-hit-64k',
  'pass',
  'miss',
  'miss-full',
] as const;
export type ComparedRowName = (typeof COMPARED_ROWS)[number];

/** Rows that measure Weir alone. `million` runs only if it is named. */
export const OWN_ROWS = ['two-workers', 'loops', 'million'] as const;
export type RowName = ComparedRowName | (typeof OWN_ROWS)[number];

export const ROWS: readonly RowName[] = [...COMPARED_ROWS, ...OWN_ROWS];

export interface ComparedRow {
  readonly name: ComparedRowName;
  readonly label: string;
  readonly servers: readonly ServerName[];
  readonly requests: Requests;
  /** Requests have If-None-Match with the origin's entity tag, so that the response is 304. */
  readonly isConditional: boolean;
  /** The requests of the load that reach the origin. */
  readonly origin: 'none' | 'all';
  /** The entries that are stored before the first round; `full`: three times the capacity of the disk. */
  readonly filled: number | 'full';
  /** The size of Weir's memory tier. */
  readonly memory: string;
  /** The size of Weir's disk tier and of nginx's cache. */
  readonly diskMiB: number;
}

export const MANY = 5_000;
const AMPLE_DISK_MIB = 10_240;
const FULL_DISK_MIB = 64;
const MEMORY = '256MiB';
/** Without a memory tier every hit is read from disk. */
const NO_MEMORY = '0';

const ALL: readonly ServerName[] = SERVERS;
/** wrk does not count the 304 responses of HAProxy. */
const NOT_MODIFIED: readonly ServerName[] = ['weir', 'nginx', 'varnish', 'node'];
const CACHES: readonly ServerName[] = ['weir', 'nginx', 'varnish', 'haproxy'];
const DISK_CACHES: readonly ServerName[] = ['weir', 'nginx'];

/** Eight entries of 1 KiB, four of 4 KiB, three of 16 KiB and one of 64 KiB; the mean is 8.5 KiB. */
export const MIXED_SIZES_KIB: readonly number[] = [64, 1, 4, 1, 16, 1, 4, 1, 16, 1, 4, 1, 16, 1, 4, 1];

/** Returns how many entries of mixed sizes fill a number of MiB. */
export function entriesIn(mebibytes: number): number {
  const meanKib = MIXED_SIZES_KIB.reduce((sum, kib) => sum + kib) / MIXED_SIZES_KIB.length;
  return Math.ceil((mebibytes * 1024) / meanKib);
}

export const mixedPrefixes = (name: string): readonly string[] =>
  MIXED_SIZES_KIB.map((kib) => `/${kib * 1024}/0/${name}/`);

const one = (bytes: number): Requests => ({ kind: 'same', path: `/${bytes}/0/one` });
const many = (bytes: number): Requests => ({
  kind: 'in-turn',
  prefixes: [`/${bytes}/0/many/`],
  from: 0,
  items: MANY,
});
const eachOnce = (prefixes: readonly string[]): Requests => ({
  kind: 'in-turn',
  prefixes,
  from: 0,
  items: null,
});

const HIT = {
  isConditional: false,
  origin: 'none',
  filled: 1,
  memory: MEMORY,
  diskMiB: AMPLE_DISK_MIB,
} as const;
const MISS = { ...HIT, origin: 'all', filled: 0 } as const;
const KIB = 1024;

export const COMPARED: Readonly<Record<ComparedRowName, ComparedRow>> = {
  hit: { ...HIT, name: 'hit', label: 'memory hit, one URL', servers: ALL, requests: one(KIB) },
  'hit-many': {
    ...HIT,
    name: 'hit-many',
    label: 'memory hit, 5,000 URLs',
    servers: ALL,
    requests: many(KIB),
    filled: MANY,
  },
  'not-modified': {
    ...HIT,
    name: 'not-modified',
    label: '304 to the client',
    servers: NOT_MODIFIED,
    requests: one(KIB),
    isConditional: true,
  },
  'hit-64k': { ...HIT, name: 'hit-64k', label: 'memory hit, 64 KiB', servers: ALL, requests: one(64 * KIB) },
  'disk-hit': {
    ...HIT,
    name: 'disk-hit',
    label: 'disk hit, 5,000 URLs of 1 KiB',
    servers: DISK_CACHES,
    requests: many(KIB),
    filled: MANY,
    memory: NO_MEMORY,
  },
  'disk-hit-64k': {
    ...HIT,
    name: 'disk-hit-64k',
    label: 'disk hit, 5,000 URLs of 64 KiB',
    servers: DISK_CACHES,
    requests: many(64 * KIB),
    filled: MANY,
    memory: NO_MEMORY,
  },
  pass: {
    ...MISS,
    name: 'pass',
    label: 'pass (no-store)',
    servers: CACHES,
    requests: { kind: 'same', path: `/${KIB}/0/no-store` },
  },
  miss: {
    ...MISS,
    name: 'miss',
    label: 'miss, stored on disk',
    servers: CACHES,
    requests: eachOnce([`/${KIB}/0/miss/`]),
  },
  'miss-full': {
    ...MISS,
    name: 'miss-full',
    label: 'miss, full disk of 64 MiB, mixed sizes',
    servers: DISK_CACHES,
    requests: eachOnce(mixedPrefixes('full')),
    filled: 'full',
    memory: '16MiB',
    diskMiB: FULL_DISK_MIB,
  },
};
