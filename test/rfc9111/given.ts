/** Constructors of a response, a request and a policy for tests of the rules. */
import type { RouteCacheConfig } from '../../policies/config/config.ts';
import { formatHttpDate } from '../../policies/http/dates.ts';
import type { Fields } from '../../policies/http/fields.ts';
import type { RequestView, ReuseDecision, StoredMeta, StoringDecision } from '../../policies/model.ts';
import { decideReuse } from '../../policies/rfc9111/reuse.ts';
import type { ReuseQuestion } from '../../policies/rfc9111/reuse.ts';
import { decideStoring } from '../../policies/rfc9111/storing.ts';
import type { ReceivedResponse } from '../../policies/rfc9111/storing.ts';

/** The time at which all tests begin, on a full second. */
export const NOW_MS = Date.UTC(2026, 5, 15, 12, 0, 0);

export function dateIn(seconds: number): string {
  return formatHttpDate(NOW_MS + seconds * 1000);
}

export const PLAIN_POLICY: RouteCacheConfig = {
  freshness: 'headers',
  ttlMs: null,
  defaultTtlMs: null,
  maxTtlMs: 86_400_000,
  negativeTtlMs: 10_000,
  failureTtlMs: 1_000,
  feed: null,
  onFeedLoss: 'revalidate',
  staleWhileRevalidateMs: null,
  staleIfErrorMs: null,
  clientDirectives: 'honor',
  ignoreOrigin: [],
  setCookie: 'pass',
  bypass: { cookies: [], headers: [] },
  key: { query: 'all', headers: [], cookies: [] },
  tags: [],
  rangeMiss: 'whole',
  maxVariants: 64,
  maxVaryBytes: 4096,
  maxConditionBytes: 2048,
  maxConditionTags: 32,
  evict: 'normal',
  versionHeader: null,
  positionHeader: false,
  positionWaitMs: 1_000,
  targetedFields: ['cdn-cache-control'],
  maxTags: 256,
  downstream: { cacheControl: null, cdnCacheControl: null, keepTags: true },
};

export function policy(changes: Partial<RouteCacheConfig> = {}): RouteCacheConfig {
  return { ...PLAIN_POLICY, ...changes };
}

export function get(...fields: string[]): RequestView {
  return { method: 'GET', fields };
}

/** A response received at NOW_MS without delay, with that Date unless `fields` has one. */
export function storing(fields: Fields, changes: Partial<ReceivedResponse> = {}): StoringDecision {
  const dated = fields.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'date');
  return decideStoring({
    request: get(),
    status: 200,
    fields: dated ? fields : ['Date', dateIn(0), ...fields],
    requestTimeMs: NOW_MS,
    responseTimeMs: NOW_MS,
    policy: PLAIN_POLICY,
    authority: 'shop.example',
    ...changes,
  });
}

export function stored(fields: Fields, changes: Partial<ReceivedResponse> = {}): StoredMeta {
  const decision = storing(fields, changes);
  if (decision.kind === 'not') throw new Error(`expected to be stored, was not: ${decision.reason}`);
  return decision.meta;
}

/** The reason why the response is not stored, or `stored`. */
export function refusal(fields: Fields, changes: Partial<ReceivedResponse> = {}): string {
  const decision = storing(fields, changes);
  return decision.kind === 'store' ? 'stored' : decision.reason;
}

export function reuse(
  meta: StoredMeta,
  afterSeconds: number,
  changes: Partial<Omit<ReuseQuestion, 'meta' | 'nowMs'>> = {},
): ReuseDecision {
  return decideReuse({
    meta,
    request: get(),
    verdict: { kind: 'clear' },
    trust: 'untracked',
    policy: PLAIN_POLICY,
    ...changes,
    nowMs: NOW_MS + afterSeconds * 1000,
  });
}

/** Whether a response with these fields is served after `afterSeconds` without a request to the origin. */
export function isReused(fields: Fields, afterSeconds = 0, changes: Partial<ReceivedResponse> = {}): boolean {
  const decision = storing(fields, changes);
  return decision.kind === 'store' && reuse(decision.meta, afterSeconds).kind === 'serve';
}
