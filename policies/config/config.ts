import type { UnderscoreRule } from '../http/field-names.ts';
import type { ForwardingForm } from '../http/forwarding.ts';

/** Key `listen.ambiguous-paths`. */
export type AmbiguousPathRule = 'refuse' | 'pass';

/**
 * The configuration after parsing, checks and merging, as plain data that is sent between threads. Sizes are in bytes,
 * durations in milliseconds, paths absolute.
 */
export interface Config {
  /** The absolute path of the configuration file. */
  readonly file: string;
  readonly listen: ListenConfig;
  readonly admin: AdminConfig;
  readonly log: LogConfig;
  readonly cache: CacheConfig;
  /** Key `cache-status`: whether Cache-Status contains the cache key, with hashed values. */
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
  /** 0: any free port. */
  readonly port: number;
  /** `auto`: one for each processor, at most 8. */
  readonly workers: number | 'auto';
  /** CIDR blocks or single addresses. */
  readonly trustedProxies: readonly string[];
  /** Key `forwarding`, default any. */
  readonly forwarding: ForwardingForm;
  /** Key `ambiguous-paths`, default refuse. */
  readonly ambiguousPaths: AmbiguousPathRule;
  /** Request fields whose names an origin may read as others. Key `underscores`, default drop. */
  readonly underscores: UnderscoreRule;
  readonly limits: ListenLimits;
  /** The time for requests in progress to finish after the begin of a stop. Key `stop-timeout`, default 30s. */
  readonly stopTimeoutMs: number;
  /** The time after which event streams and tunnels end at a stop. Key `stop-streams`, default 1s. */
  readonly stopStreamsMs: number;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
}

export interface ListenLimits {
  readonly urlBytes: number;
  readonly headersBytes: number;
  readonly headerCount: number;
  readonly bodyBytes: number;
  /** The bound on receiving a request's head, and on a pause in its content. */
  readonly requestMs: number;
  /** The least rate of a request's content, averaged over `bodyGraceMs`. 0: no bound. */
  readonly bodyBytesPerSecond: number;
  readonly bodyGraceMs: number;
  /** The bound on receiving a whole request; null: no bound. */
  readonly totalMs: number | null;
  /** The bound on the time between two requests of a connection. */
  readonly idleMs: number;
  readonly tunnelMs: number;
  /** The bound over all workers. */
  readonly connections: number;
}

export interface AdminConfig {
  readonly host: string;
  readonly port: number;
  /** Empty: no token. */
  readonly token: string;
  readonly limits: AdminLimits;
}

export interface AdminLimits {
  readonly bodyBytes: number;
  /** The bound on receiving a request's head and content. */
  readonly requestMs: number;
  readonly connections: number;
}

export interface LogConfig {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
  readonly access: boolean;
}

export interface CacheConfig {
  /** The bound over all workers; 0 switches the tier off. */
  readonly memoryBytes: number;
  readonly disk: {
    readonly path: string;
    /** 0 switches the tier off. */
    readonly sizeBytes: number;
    /** The bound on new entries that wait to be written. Key `queue`, default a quarter of `memory`, from 8MiB to 64MiB. */
    readonly queueBytes: number;
  };
  readonly maxObjectBytes: number;
  /** The size of the threads' heaps. Key `heaps`, default by `memory`. */
  readonly heaps: 'small' | 'fast';
}

export interface FenceConfig {
  readonly records: number;
}

/** Key `flights`: bounds on flights and waiters, in each worker. */
export interface FlightsConfig {
  /** The bytes of one body in memory while it streams. When they are reached, the origin waits for the slowest reader. Key `window`, 1MiB. */
  readonly windowBytes: number;
  /** The number of clients that may wait for one flight. Key `waiters`, 10000. */
  readonly waiters: number;
  /** The number of clients that may wait for any flight, in each worker. Key `waiting`, 50000. */
  readonly waiting: number;
  /** The number of simultaneous background refreshes, in each worker. Key `background`, 32. */
  readonly background: number;
  /** The number of keys whose failure is remembered for `failure-ttl`, in each worker. Key `failures`, 10000. */
  readonly failures: number;
}

/** Key `journal`: the journal of accepted writes, which is stored with the state below `cache.disk.path`. */
export interface JournalConfig {
  /** The bound on waiting and dead writes, at which the journal is full. Key `size`, 1GiB. */
  readonly sizeBytes: number;
  /** The bound on content that is being received, in each worker. Beyond it `on-full` decides. Key `receiving`, 32MiB. */
  readonly receivingBytes: number;
  /** The number of writes that are sent to one origin at a time. Key `deliveries`, 16. */
  readonly deliveries: number;
  /** The number of delivered writes that can be looked up, and whose Idempotency-Key is known. Key `done`, 100000. */
  readonly done: number;
  /** The bound on the origin's responses that are kept for requests with a known Idempotency-Key. Key `responses`, 64MiB. */
  readonly responsesBytes: number;
}

/** Key `writes`: bounds on writes that are in progress or of unknown outcome, except those of the journal. */
export interface WritesConfig {
  /** The bound for one client. Key `held-per-client`, 1000. */
  readonly heldPerClient: number;
  /** The bound for all clients. Key `held`, 10000. */
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
  /** The time that a write keeps its connection after its client has left. Key `timeouts.abandoned`, default 5s. */
  readonly abandonedMs: number;
  /** The number of retries of a safe request after a connection failure. */
  readonly retry: number;
  readonly maxProcessingMs: number;
  readonly breaker: { readonly failures: number; readonly openMs: number } | null;
  readonly health: { readonly path: string; readonly intervalMs: number } | null;
  readonly tls: { readonly caFile: string | null; readonly serverName: string | null } | null;
  /** Key `demo`: the delay of the built-in shop's responses (`delay`, 0ms). */
  readonly demo: { readonly delayMs: number };
}

export interface FeedConfig {
  readonly name: string;
  /** The type's name in the registry of feeds. */
  readonly type: string;
  readonly format: 'json' | 'cloudevents' | 'debezium';
  readonly maxSilenceMs: number;
  readonly readLagMs: number;
  /** The dotted path of the version in each change; null: responses attest positions of the feed. */
  readonly versionField: string | null;
  readonly map: readonly FeedMapping[];
  /** The type's own options, validated by its adapter's schema. */
  readonly options: Readonly<Record<string, unknown>>;
}

export interface FeedMapping {
  /** Conditions on dotted paths; null: the entry always applies. */
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
  /** In lower case; null: any host. */
  readonly host: string | null;
  /** In upper case; null: any method. */
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
  /** Key `failure-ttl`: the time for which an origin's failure answers further requests for the key. Default 1s. */
  readonly failureTtlMs: number;
  readonly feed: string | null;
  readonly onFeedLoss: 'revalidate' | 'use-headers' | 'bypass';
  /** Null: the response decides. */
  readonly staleWhileRevalidateMs: number | null;
  readonly staleIfErrorMs: number | null;
  readonly clientDirectives: 'ignore' | 'honor';
  readonly ignoreOrigin: readonly OriginRule[];
  readonly setCookie: 'pass' | 'strip';
  /** Requests with one of these are passed; header names in lower case. */
  readonly bypass: { readonly cookies: readonly string[]; readonly headers: readonly string[] };
  /** Header names, in lower case, and cookie names. */
  readonly key: {
    readonly query: QueryKey;
    readonly headers: readonly string[];
    readonly cookies: readonly string[];
  };
  readonly tags: readonly string[];
  readonly rangeMiss: 'whole' | 'pass';
  readonly maxVariants: number;
  /** Key `max-vary`: the bytes of names and values of the fields that Vary names, for one variant. */
  readonly maxVaryBytes: number;
  /** Key `max-conditions`: the bytes of entity tags in one request to the origin. */
  readonly maxConditionBytes: number;
  /** Key `max-condition-tags`: the number of entity tags in one request to the origin. */
  readonly maxConditionTags: number;
  readonly evict: 'normal' | 'last';
  /** In lower case. */
  readonly versionHeader: string | null;
  readonly positionHeader: boolean;
  /** Key `position-wait`: the time that a request waits for a position, and that a write's response waits for its own. Default 1s. */
  readonly positionWaitMs: number;
  /** Key `targeted-fields`: targeted cache-control fields in order of preference (RFC 9213). Default [cdn-cache-control]. */
  readonly targetedFields: readonly string[];
  /** Key `max-tags`: a response with more is not stored. Default 256. */
  readonly maxTags: number;
  /** The cache control fields for the CDN; null: as received from the origin. */
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
  /** For around and through: content up to this size is read whole before anything is sent. */
  readonly readWholeBytes: number;
  readonly maxBodyBytes: number;
  readonly oversize: 'reject' | 'through';
  readonly onFull: 'reject' | 'through';
  readonly onDead: 'hold' | 'skip';
  readonly retry: {
    readonly baseMs: number;
    readonly maxMs: number;
    readonly attempts: number;
    /** Key `statuses`: the statuses after which a write is retried; other 4xx make it dead. Default 408, 425, 429 and every 5xx. */
    readonly statuses: readonly number[] | null;
  };
}
