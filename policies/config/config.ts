import type { UnderscoreRule } from '../http/field-names.ts';
import type { ForwardingForm } from '../http/forwarding.ts';

/** Key `listen.ambiguous-paths`. */
export type AmbiguousPathRule = 'refuse' | 'pass';

/**
 * The configuration after it was read, checked and merged: plain data that passes between threads. Sizes are in
 * bytes, durations in milliseconds, paths absolute.
 */
export interface Config {
  /** Absolute path of the file that this was read from. */
  readonly file: string;
  readonly listen: ListenConfig;
  readonly admin: AdminConfig;
  readonly log: LogConfig;
  readonly cache: CacheConfig;
  /** Key `cache-status`: whether Cache-Status tells the cache key, its values hashed. */
  readonly cacheStatus: { readonly key: boolean };
  readonly fence: FenceConfig;
  readonly flights: FlightsConfig;
  readonly journal: JournalConfig;
  readonly writes: WritesConfig;
  readonly origins: Readonly<Record<string, OriginConfig>>;
  readonly feeds: Readonly<Record<string, FeedConfig>>;
  readonly routes: readonly RouteConfig[];
}

export interface ListenConfig {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** `auto`: one a processor, at most 8. */
  readonly workers: number | 'auto';
  /** CIDR blocks or single addresses. */
  readonly trustedProxies: readonly string[];
  /** Key `forwarding`, default any. */
  readonly forwarding: ForwardingForm;
  /** Key `ambiguous-paths`, default refuse. */
  readonly ambiguousPaths: AmbiguousPathRule;
  /** Request fields whose names an origin may read as others: key `underscores`, default drop. */
  readonly underscores: UnderscoreRule;
  readonly limits: ListenLimits;
  /** How long requests under way may take to finish after a stop was asked for. Key `stop-timeout`, default 30s. */
  readonly stopTimeoutMs: number;
  /** How long of that event streams and tunnels may go on. Key `stop-streams`, default 1s. */
  readonly stopStreamsMs: number;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
}

export interface ListenLimits {
  readonly urlBytes: number;
  readonly headersBytes: number;
  readonly headerCount: number;
  readonly bodyBytes: number;
  /** Until a request's head has been read, and the longest that its content may bring nothing. */
  readonly requestMs: number;
  /** The least that a request's content must bring, over `bodyGraceMs`. 0: any. */
  readonly bodyBytesPerSecond: number;
  readonly bodyGraceMs: number;
  /** Until a request has been read as a whole; null: no bound. */
  readonly totalMs: number | null;
  /** Between two requests of one connection. */
  readonly idleMs: number;
  readonly tunnelMs: number;
  /** Over all workers. */
  readonly connections: number;
}

export interface AdminConfig {
  readonly host: string;
  readonly port: number;
  /** Empty: none. */
  readonly token: string;
  readonly limits: AdminLimits;
}

export interface AdminLimits {
  readonly bodyBytes: number;
  /** Until a request's head and content have been read. */
  readonly requestMs: number;
  readonly connections: number;
}

export interface LogConfig {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
  readonly access: boolean;
}

export interface CacheConfig {
  /** Over all workers; 0 switches the tier off. */
  readonly memoryBytes: number;
  readonly disk: {
    readonly path: string;
    /** 0 switches the tier off. */
    readonly sizeBytes: number;
    /** Of what is new and waits to be written. Key `queue`, default a quarter of `memory`, from 8MiB to 64MiB. */
    readonly queueBytes: number;
  };
  readonly maxObjectBytes: number;
  /** How the threads' heaps grow. Key `heaps`, default by `memory`. */
  readonly heaps: 'small' | 'fast';
}

export interface FenceConfig {
  readonly records: number;
}

/** Key `flights`: bounds on what runs and waits for one key, in each worker. */
export interface FlightsConfig {
  /** Bytes of one body held while it streams; beyond it the origin or the slowest reader sets the pace. Key `window`, 1MiB. */
  readonly windowBytes: number;
  /** Clients that may wait for one flight. Key `waiters`, 10000. */
  readonly waiters: number;
  /** Clients that may wait for flights, in each worker. Key `waiting`, 50000. */
  readonly waiting: number;
  /** Refreshes in the background at a time, in each worker. Key `background`, 32. */
  readonly background: number;
  /** Keys whose failure is remembered for their route's `failure-ttl`, in each worker. Key `failures`, 10000. */
  readonly failures: number;
}

/** Key `journal`: of accepted writes, which lies with the state below `cache.disk.path`. */
export interface JournalConfig {
  /** Of writes that wait or are dead; beyond it the journal is full. Key `size`, 1GiB. */
  readonly sizeBytes: number;
  /** Of content that is being received, in each worker; beyond it `on-full` decides. Key `receiving`, 32MiB. */
  readonly receivingBytes: number;
  /** Writes sent to one origin at a time. Key `deliveries`, 16. */
  readonly deliveries: number;
  /** Delivered writes that can still be looked up, and whose Idempotency-Key is still known. Key `done`, 100000. */
  readonly done: number;
  /** Of the origin's responses that are kept for requests with a known Idempotency-Key. Key `responses`, 64MiB. */
  readonly responsesBytes: number;
}

/** Key `writes`: bounds on writes that are under way or of unknown outcome, but for those of the journal. */
export interface WritesConfig {
  /** Of one client. Key `held-per-client`, 1000. */
  readonly heldPerClient: number;
  /** Of all clients. Key `held`, 10000. */
  readonly held: number;
}

export interface OriginConfig {
  readonly name: string;
  /** At least one; `demo:` is the built-in shop. */
  readonly urls: readonly string[];
  readonly hostHeader: 'origin' | 'client';
  readonly connections: number;
  readonly queue: { readonly size: number; readonly timeoutMs: number };
  readonly timeouts: { readonly connectMs: number; readonly headersMs: number; readonly bodyMs: number };
  /** How long a write keeps its connection though its client has gone. Key `timeouts.abandoned`, default 5s. */
  readonly abandonedMs: number;
  /** Retries of a safe request after the connection failed. */
  readonly retry: number;
  readonly maxProcessingMs: number;
  readonly breaker: { readonly failures: number; readonly openMs: number } | null;
  readonly health: { readonly path: string; readonly intervalMs: number } | null;
  readonly tls: { readonly caFile: string | null; readonly serverName: string | null } | null;
  /** Key `demo`: of the built-in shop, how long it takes over an answer (`delay`, 0ms). */
  readonly demo: { readonly delayMs: number };
}

export interface FeedConfig {
  readonly name: string;
  /** As the registry of feeds names it. */
  readonly type: string;
  readonly format: 'json' | 'cloudevents' | 'debezium';
  readonly maxSilenceMs: number;
  readonly readLagMs: number;
  /** The dotted path at which each change tells its version; null: answers attest the feed's positions. */
  readonly versionField: string | null;
  readonly map: readonly FeedMapping[];
  /** The type's own options, as its adapter's schema checked them. */
  readonly options: Readonly<Record<string, unknown>>;
}

export interface FeedMapping {
  /** Conditions on dotted paths; null: always. */
  readonly when: Readonly<Record<string, unknown>> | null;
  readonly invalidate: InvalidationTemplates;
}

export interface InvalidationTemplates {
  readonly tags: readonly string[];
  readonly urls: readonly string[];
  readonly prefixes: readonly string[];
}

export interface RouteConfig {
  readonly name: string;
  readonly match: RouteMatch;
  readonly origin: string;
  readonly cache: RouteCacheConfig;
  readonly write: RouteWriteConfig;
}

export interface RouteMatch {
  readonly path: string;
  /** Lower case; null: any. */
  readonly host: string | null;
  /** Upper case; null: any. */
  readonly methods: readonly string[] | null;
}

export type Freshness = 'headers' | 'fixed' | 'until-changed' | 'none';
export type OriginRule = 'private' | 'no-store' | 'no-cache' | 'authorization';
export type QueryKey =
  'all' | 'none' | { readonly only: readonly string[] } | { readonly except: readonly string[] };

export interface RouteCacheConfig {
  readonly freshness: Freshness;
  readonly ttlMs: number | null;
  readonly defaultTtlMs: number | null;
  readonly maxTtlMs: number;
  readonly negativeTtlMs: number;
  /** Key `failure-ttl`: how long a failure of the origin answers others who ask for the same. Default 1s. */
  readonly failureTtlMs: number;
  readonly feed: string | null;
  readonly onFeedLoss: 'revalidate' | 'use-headers' | 'bypass';
  /** null: as the response says. */
  readonly staleWhileRevalidateMs: number | null;
  readonly staleIfErrorMs: number | null;
  readonly clientDirectives: 'ignore' | 'honor';
  readonly ignoreOrigin: readonly OriginRule[];
  readonly setCookie: 'pass' | 'strip';
  /** Requests that bear one of these are passed; headers in lower case. */
  readonly bypass: { readonly cookies: readonly string[]; readonly headers: readonly string[] };
  /** Header and cookie names; headers in lower case. */
  readonly key: {
    readonly query: QueryKey;
    readonly headers: readonly string[];
    readonly cookies: readonly string[];
  };
  readonly tags: readonly string[];
  readonly rangeMiss: 'whole' | 'pass';
  readonly maxVariants: number;
  /** Key `max-vary`: of the names and values of the fields that Vary names, for one variant. */
  readonly maxVaryBytes: number;
  /** Key `max-conditions`: of the entity tags that one request asks about. */
  readonly maxConditionBytes: number;
  /** Key `max-condition-tags`. */
  readonly maxConditionTags: number;
  readonly evict: 'normal' | 'last';
  /** Lower case. */
  readonly versionHeader: string | null;
  readonly positionHeader: boolean;
  /** Key `position-wait`: how long a request may wait for a position, and the answer to a write for its own. Default 1s. */
  readonly positionWaitMs: number;
  /** Key `targeted-fields`: targeted cache-control fields in order of preference (RFC 9213). Default [cdn-cache-control]. */
  readonly targetedFields: readonly string[];
  /** Key `max-tags`: a response with more is not stored. Default 256. */
  readonly maxTags: number;
  /** What the CDN is told; null: as the origin said. */
  readonly downstream: {
    readonly cacheControl: string | null;
    readonly cdnCacheControl: string | null;
    readonly keepTags: boolean;
  };
}

export interface RouteWriteConfig {
  readonly policy: 'around' | 'through' | 'behind';
  readonly invalidate: InvalidationTemplates;
  readonly update: boolean;
  readonly reads: 'pass' | 'wait' | 'pending';
  readonly coalesce: boolean;
  /** around, through: content up to it is read whole before anything is sent. */
  readonly readWholeBytes: number;
  readonly maxBodyBytes: number;
  readonly oversize: 'reject' | 'through';
  readonly onFull: 'reject' | 'through';
  readonly onDead: 'hold' | 'skip';
  readonly retry: {
    readonly baseMs: number;
    readonly maxMs: number;
    readonly attempts: number;
    /** Key `statuses`: answers that are tried again; other 4xx are dead at once. Default 408, 425, 429 and every 5xx. */
    readonly statuses: readonly number[] | null;
  };
}
