/** Compiles the validated sections of the file into the runtime's configuration. */
import { basename, join, resolve } from 'node:path';
import type { Config, FeedConfig, ListenConfig, OriginConfig, RouteConfig, RouteMatch } from './config.ts';
import type { Sections } from './sections.ts';
import type { RouteInput } from './route-schema.ts';
import type { AdminInput, CacheInput, FeedInput, ListenInput, OriginInput } from './schema.ts';
import { COMMON_FEED_KEYS } from './schema.ts';

/** `directory` is the absolute path of the file's directory, the base of relative paths. Returns null if a section is missing. */
export function compileConfig(sections: Sections, file: string, directory: string): Config | null {
  const { listen, admin, log, cache, cacheStatus, fence, flights, journal, writes } = sections;
  if (!listen || !admin || !log || !cache || !cacheStatus || !fence || !flights || !journal || !writes)
    return null;
  const [onlyOrigin] = sections.origins.keys();
  const routes = sections.routes.flatMap(({ route }) =>
    route ? [compileRoute(route, onlyOrigin ?? '')] : [],
  );
  return {
    file: join(directory, basename(file)),
    listen: compileListen(listen, directory),
    admin: compileAdmin(admin),
    log,
    cache: compileCache(cache, directory),
    cacheStatus,
    fence,
    flights: {
      windowBytes: flights.window,
      waiters: flights.waiters,
      waiting: flights.waiting,
      background: flights.background,
      failures: flights.failures,
    },
    journal: {
      sizeBytes: journal.size,
      receivingBytes: journal.receiving,
      deliveries: journal.deliveries,
      done: journal.done,
      responsesBytes: journal.responses,
    },
    writes: { heldPerClient: writes['held-per-client'], held: writes.held },
    origins: compileEach(sections.origins, (name, origin) => compileOrigin(name, origin, directory)),
    feeds: compileEach(sections.feeds, (name, feed) => compileFeed(name, feed, directory)),
    routes,
  };
}

/** A route without a name is named after its pattern. */
export function routeName(route: RouteInput): string {
  if (route.name !== undefined) return route.name;
  const { path, host, methods } = routeMatch(route);
  return `${methods === null ? '' : `${methods.join(',')} `}${host ?? ''}${path}`;
}

export function routeMatch({ match }: RouteInput): RouteMatch {
  if (typeof match === 'string') return { path: match, host: null, methods: null };
  return { path: match.path, host: match.host ?? null, methods: match.methods ?? null };
}

function compileListen(listen: ListenInput, directory: string): ListenConfig {
  const { limits, tls } = listen;
  return {
    host: listen.host,
    port: listen.port,
    workers: listen.workers,
    trustedProxies: listen['trusted-proxies'],
    forwarding: listen.forwarding,
    ambiguousPaths: listen['ambiguous-paths'],
    underscores: listen.underscores,
    limits: {
      urlBytes: limits.url,
      headersBytes: limits.headers,
      headerCount: limits['header-count'],
      bodyBytes: limits.body,
      requestMs: limits.request,
      bodyBytesPerSecond: limits['body-rate'],
      bodyGraceMs: limits['body-grace'],
      totalMs: limits.total ?? null,
      idleMs: limits.idle,
      tunnelMs: limits.tunnel,
      connections: limits.connections,
    },
    stopTimeoutMs: listen['stop-timeout'],
    stopStreamsMs: listen['stop-streams'],
    tls: tls ? { certFile: resolve(directory, tls.cert), keyFile: resolve(directory, tls.key) } : null,
  };
}

export function compileAdmin({ host, port, token, limits }: AdminInput): Config['admin'] {
  const { body, request, connections } = limits;
  return { host, port, token, limits: { bodyBytes: body, requestMs: request, connections } };
}

const MIB = 2 ** 20;

/** A small cache gets small heaps, so that its process is small. */
function defaultQueueBytes(memoryBytes: number): number {
  return Math.min(64 * MIB, Math.max(8 * MIB, Math.floor(memoryBytes / 4)));
}

function defaultHeaps(memoryBytes: number): 'small' | 'fast' {
  return memoryBytes <= 64 * MIB ? 'small' : 'fast';
}

function compileCache(cache: CacheInput, directory: string): Config['cache'] {
  return {
    memoryBytes: cache.memory,
    disk: {
      path: resolve(directory, cache.disk.path),
      sizeBytes: cache.disk.size,
      queueBytes: cache.disk.queue === 'auto' ? defaultQueueBytes(cache.memory) : cache.disk.queue,
    },
    maxObjectBytes: cache['max-object'],
    heaps: cache.heaps === 'auto' ? defaultHeaps(cache.memory) : cache.heaps,
  };
}

function compileOrigin(name: string, origin: OriginInput, directory: string): OriginConfig {
  const { queue, timeouts, breaker, health, tls } = origin;
  return {
    name,
    urls: [origin.url].flat(),
    hostHeader: origin['host-header'],
    connections: origin.connections,
    queue: { size: queue.size, timeoutMs: queue.timeout },
    timeouts: { connectMs: timeouts.connect, headersMs: timeouts.headers, bodyMs: timeouts.body },
    abandonedMs: timeouts.abandoned,
    retry: origin.retry,
    maxProcessingMs: origin['max-processing'],
    breaker: breaker ? { failures: breaker.failures, openMs: breaker.open } : null,
    health: health ? { path: health.path, intervalMs: health.interval } : null,
    tls: tls
      ? { caFile: tls.ca ? resolve(directory, tls.ca) : null, serverName: tls['server-name'] ?? null }
      : null,
    demo: { delayMs: origin.demo.delay },
  };
}

function compileFeed(name: string, feed: FeedInput, directory: string): FeedConfig {
  const own = Object.entries(feed).filter(([key]) => !COMMON_FEED_KEYS.includes(key));
  return {
    name,
    type: feed.type,
    format: feed.format,
    maxSilenceMs: feed['max-silence'],
    readLagMs: feed['read-lag'],
    versionField: feed['version-field'] ?? null,
    map: feed.map.map(({ when, invalidate }) => ({ when: when ?? null, invalidate })),
    options: Object.fromEntries(
      own.map(([key, value]) => [key, key === 'tls' ? resolveFiles(value, directory) : value]),
    ),
  };
}

/** The files of a feed's `tls`, which are the same for all types. */
function resolveFiles(tls: unknown, directory: string): unknown {
  if (typeof tls !== 'object' || tls === null) return tls;
  const files = new Set(['ca', 'cert', 'key']);
  return Object.fromEntries(
    Object.entries(tls).map(([key, value]) => [
      key,
      files.has(key) && typeof value === 'string' ? resolve(directory, value) : value,
    ]),
  );
}

function compileRoute(route: RouteInput, onlyOrigin: string): RouteConfig {
  return {
    name: routeName(route),
    match: routeMatch(route),
    origin: route.origin ?? onlyOrigin,
    cache: compileRouteCache(route.cache),
    write: compileRouteWrite(route.write),
  };
}

function compileRouteCache(cache: RouteInput['cache']): RouteConfig['cache'] {
  const { downstream } = cache;
  return {
    freshness: cache.freshness,
    ttlMs: cache.ttl ?? null,
    defaultTtlMs: cache['default-ttl'] ?? null,
    maxTtlMs: cache['max-ttl'],
    negativeTtlMs: cache['negative-ttl'],
    failureTtlMs: cache['failure-ttl'],
    feed: cache.feed ?? null,
    onFeedLoss: cache['on-feed-loss'],
    staleWhileRevalidateMs: cache['stale-while-revalidate'] ?? null,
    staleIfErrorMs: cache['stale-if-error'] ?? null,
    clientDirectives: cache['client-directives'],
    ignoreOrigin: cache['ignore-origin'],
    setCookie: cache['set-cookie'],
    bypass: cache.bypass,
    key: cache.key,
    tags: cache.tags,
    rangeMiss: cache['range-miss'],
    maxVariants: cache['max-variants'],
    maxVaryBytes: cache['max-vary'],
    maxConditionBytes: cache['max-conditions'],
    maxConditionTags: cache['max-condition-tags'],
    evict: cache.evict,
    versionHeader: cache['version-header'] ?? null,
    positionHeader: cache['position-header'],
    positionWaitMs: cache['position-wait'],
    targetedFields: cache['targeted-fields'],
    maxTags: cache['max-tags'],
    downstream: {
      cacheControl: downstream['cache-control'] ?? null,
      cdnCacheControl: downstream['cdn-cache-control'] ?? null,
      keepTags: downstream['keep-tags'],
    },
  };
}

function compileRouteWrite(write: RouteInput['write']): RouteConfig['write'] {
  const { retry } = write;
  return {
    policy: write.policy,
    invalidate: write.invalidate,
    update: write.update,
    reads: write.reads,
    coalesce: write.coalesce,
    readWholeBytes: write['read-whole'],
    maxBodyBytes: write['max-body'],
    oversize: write.oversize,
    onFull: write['on-full'],
    onDead: write['on-dead'],
    retry: {
      baseMs: retry.base,
      maxMs: retry.max,
      attempts: retry.attempts,
      statuses: retry.statuses ?? null,
    },
  };
}

function compileEach<In, Out>(
  named: ReadonlyMap<string, In | null>,
  compile: (name: string, input: In) => Out,
): Record<string, Out> {
  return Object.fromEntries(
    [...named].flatMap(([name, input]) => (input === null ? [] : [[name, compile(name, input)]])),
  );
}
