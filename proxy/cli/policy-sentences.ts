/** Describes a route's policy, one sentence for each decision. */
import type {
  InvalidationTemplates,
  QueryKey,
  RouteCacheConfig,
  RouteConfig,
} from '../../policies/config/config.ts';

/** Sentences on requests that go through the cache. */
export function cachePolicyWords({ cache }: RouteConfig): string[] {
  if (cache.freshness === 'none') return ['nothing is stored: every request goes to the origin'];
  return [
    ...lifetimeWords(cache),
    ...feedWords(cache),
    `stale while it is being revalidated: ${windowWords(cache.staleWhileRevalidateMs)}`,
    `stale while the origin fails: ${windowWords(cache.staleIfErrorMs)}`,
    `Cache-Control and Pragma of requests: ${cache.clientDirectives === 'honor' ? 'honored' : 'ignored'}`,
    ...(cache.ignoreOrigin.length === 0
      ? []
      : [`stored even if the origin says ${list(cache.ignoreOrigin)}`]),
    cache.setCookie === 'strip'
      ? 'a response with Set-Cookie is stored without it'
      : 'a response with Set-Cookie is not stored',
    ...bypassWords(cache),
    `in the key: ${list(['the path', ...queryWords(cache.key.query), ...keyedWords(cache)])}`,
    ...(cache.rangeMiss === 'pass' ? ['a range request without a stored entry is passed to the origin'] : []),
    ...(cache.evict === 'last' ? ['evicted last'] : []),
  ];
}

/** For unsafe methods. */
export function writePolicyWords({ write }: RouteConfig): string[] {
  const named = invalidationWords(write.invalidate);
  return [
    POLICY_WORDS[write.policy],
    `on success invalidates ${list(['the URL', 'Location and Content-Location of the response', ...named])}`,
    ...(write.policy === 'through' && write.update
      ? ['the content of a successful PUT becomes the entry']
      : []),
    ...(write.policy === 'behind' ? [`reads while a write waits: ${write.reads}`] : []),
  ];
}

const POLICY_WORDS: Readonly<Record<RouteConfig['write']['policy'], string>> = {
  around: 'passed to the origin',
  through: 'passed to the origin while the tags that it affects are held',
  behind: 'accepted once it is in the journal, and delivered later',
};

function lifetimeWords(cache: RouteCacheConfig): string[] {
  const negative = `404 and 410 for ${durationWords(cache.negativeTtlMs)}`;
  switch (cache.freshness) {
    case 'headers':
      return [
        cache.defaultTtlMs === null
          ? 'fresh for as long as the response says, else by the heuristic of RFC 9111 §4.2.2'
          : `fresh for as long as the response says, else for ${durationWords(cache.defaultTtlMs)}`,
      ];
    case 'fixed':
      return [`fresh for ${durationWords(cache.ttlMs ?? 0)}, whatever the response says; ${negative}`];
    case 'until-changed':
      return [
        `fresh until the feed ${cache.feed ?? ''} reports a change, at most ${durationWords(cache.maxTtlMs)}; ${negative}`,
      ];
    case 'none':
      return [];
    default:
      return cache.freshness satisfies never;
  }
}

function feedWords({ feed, onFeedLoss }: RouteCacheConfig): string[] {
  if (feed === null) return [];
  const meanwhile = {
    revalidate: 'every use is revalidated',
    'use-headers': "the response's own lifetime applies",
    bypass: 'every request is passed to the origin',
  }[onFeedLoss];
  return [`while the feed ${feed} is not live: ${meanwhile}`];
}

function windowWords(ms: number | null): string {
  if (ms === null) return 'as the response says';
  return ms === 0 ? 'never' : `for ${durationWords(ms)}`;
}

function queryWords(rule: QueryKey): string[] {
  if (rule === 'all') return ['the whole query'];
  if (rule === 'none') return [];
  return 'only' in rule
    ? [`the query parameters ${list(rule.only)}`]
    : [`the query without ${list(rule.except)}`];
}

function bypassWords({ bypass }: RouteCacheConfig): string[] {
  const named = [
    ...bypass.headers.map((name) => `the header ${name}`),
    ...bypass.cookies.map((name) => `the cookie ${name}`),
  ];
  return named.length === 0 ? [] : [`passed to the origin and not stored: a request with ${list(named)}`];
}

function keyedWords({ key }: RouteCacheConfig): string[] {
  return [
    ...key.headers.map((name) => `the header ${name}`),
    ...key.cookies.map((name) => `the cookie ${name}`),
  ];
}

function invalidationWords({ tags, urls, prefixes }: InvalidationTemplates): string[] {
  return [
    ...tags.map((tag) => `the tag ${tag}`),
    ...urls,
    ...prefixes.map((prefix) => `everything below ${prefix}`),
  ];
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const;

/** As the configuration writes it: `90s`, `24h`. */
export function durationWords(ms: number): string {
  const unit = UNITS.find(([, size]) => ms >= size && ms % size === 0);
  return unit === undefined ? `${ms}ms` : `${ms / unit[1]}${unit[0]}`;
}

function list(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}
