/**
 * RFC 9111 §4: whether a stored response may be reused for a request, given the fence's verdict and the feed's state.
 * This runs for every memory hit: nothing is parsed where the request has no Cache-Control or Pragma.
 */
import type { RouteCacheConfig } from '../config/config.ts';
import type { Fields } from '../http/fields.ts';
import type {
  FeedTrust,
  RequestView,
  ReuseDecision,
  RevalidateReason,
  StoredMeta,
  Verdict,
} from '../model.ts';
import { currentAgeSeconds } from './freshness.ts';
import { NO_REQUEST_DIRECTIVES, requestDirectives } from './request-directives.ts';
import type { RequestDirectives } from './request-directives.ts';

export interface ReuseQuestion {
  readonly meta: StoredMeta;
  readonly request: RequestView;
  readonly verdict: Verdict;
  readonly trust: FeedTrust;
  readonly policy: RouteCacheConfig;
  readonly nowMs: number;
}

export function decideReuse(question: ReuseQuestion): ReuseDecision {
  const { meta, verdict, trust, nowMs } = question;
  if (trust === 'bypass') return { kind: 'bypass', reason: 'feed-lost' };
  switch (verdict.kind) {
    case 'hard':
      return confirm(meta, verdict, trust, 'invalidated', 0);
    case 'possibly-stale':
      return confirm(meta, verdict, trust, 'unproven', 0);
    case 'soft':
      return decideSoft(question, verdict);
    case 'clear':
      break;
    default:
      return verdict satisfies never;
  }
  if (meta.noCache) return confirm(meta, CLEAR, trust, 'no-cache', 0);
  const lifetimeSeconds = usableLifetimeSeconds(meta, trust);
  const ageSeconds = currentAgeSeconds(meta, nowMs);
  if (trust === 'revalidate') {
    const { noCache } = directivesHonored(question.request.fields, question.policy);
    if (noCache) return confirm(meta, CLEAR, trust, 'request', 0);
    const untilMs = staleIfErrorUntilMs(meta, Math.min(expiryMs(lifetimeSeconds, ageSeconds, nowMs), nowMs));
    return confirm(meta, CLEAR, trust, 'feed-not-live', untilMs);
  }
  return decideByAge(question, lifetimeSeconds, ageSeconds);
}

/** §5.2.1.7: the client wants a stored response or 504, if the route honours clients' directives. */
export function onlyIfCached(request: RequestView, policy: RouteCacheConfig): boolean {
  return directivesHonored(request.fields, policy).onlyIfCached;
}

/** §5.2.1.4, §5.4: the client demands validation, if the route honours clients' directives. */
export function wantsOrigin(request: RequestView, policy: RouteCacheConfig): boolean {
  return directivesHonored(request.fields, policy).noCache;
}

/** §5.2.1.5: neither the request nor its response may be stored, if the route honours clients' directives. */
export function forbidsStoring(request: RequestView, policy: RouteCacheConfig): boolean {
  return directivesHonored(request.fields, policy).noStore;
}

/**
 * Whether the origin can confirm the entry by a 304. Two states within one second share a Last-Modified, so a weak
 * one proves nothing after a hard or soft invalidation (RFC 9110 §8.8.2.2), nor while the feed may have missed one.
 */
export function isConfirmable(meta: StoredMeta, verdict: Verdict, trust: FeedTrust): boolean {
  if (meta.etag !== null) return true;
  const isInDoubt = verdict.kind !== 'clear' || trust === 'revalidate';
  return isInDoubt ? meta.lastModifiedStrong : meta.lastModifiedMs !== null;
}

/** RFC 5861 §4: statuses that count as the origin's failure, for which a stale response may stand in. */
export function isStaleIfErrorStatus(status: number): boolean {
  return status === 500 || status === 502 || status === 503 || status === 504;
}

/** Whether the entry of this decision may be served if the origin fails. */
export function standsIn(decision: ReuseDecision, nowMs: number): boolean {
  switch (decision.kind) {
    case 'serve':
    case 'serve-stale':
      return true;
    case 'revalidate':
    case 'fetch':
      return decision.staleIfErrorUntilMs > nowMs;
    case 'bypass':
      return false;
    default:
      return decision satisfies never;
  }
}

function decideByAge(question: ReuseQuestion, lifetimeSeconds: number, ageSeconds: number): ReuseDecision {
  const { meta, request, trust, policy, nowMs } = question;
  const wanted = directivesHonored(request.fields, policy);
  const ttlSeconds = lifetimeSeconds - ageSeconds;
  // The client demands validation, so stale-if-error does not apply.
  if (
    wanted.noCache ||
    ageSeconds > wanted.maxAgeSeconds ||
    wanted.minFreshSeconds > Math.max(ttlSeconds, 0)
  ) {
    return confirm(meta, CLEAR, trust, 'request', 0);
  }
  if (ttlSeconds > 0) return { kind: 'serve', ageSeconds, ttlSeconds };
  if (-ttlSeconds < meta.staleWhileRevalidateSeconds) {
    return { kind: 'serve-stale', refresh: true, ageSeconds, ttlSeconds, reason: 'stale-while-revalidate' };
  }
  if (!meta.mustRevalidate && -ttlSeconds <= wanted.maxStaleSeconds) {
    return { kind: 'serve-stale', refresh: false, ageSeconds, ttlSeconds, reason: 'max-stale' };
  }
  const expired = expiryMs(lifetimeSeconds, ageSeconds, nowMs);
  return confirm(meta, CLEAR, trust, 'stale', staleIfErrorUntilMs(meta, expired, wanted.staleIfErrorSeconds));
}

/** RFC 5861's windows count from the invalidation, or from the expiry where that was earlier. */
function decideSoft(question: ReuseQuestion, verdict: Verdict & { kind: 'soft' }): ReuseDecision {
  const { meta, request, policy, trust, nowMs } = question;
  if (meta.noCache) return confirm(meta, verdict, trust, 'invalidated', 0);
  const lifetimeSeconds = usableLifetimeSeconds(meta, trust);
  const ageSeconds = currentAgeSeconds(meta, nowMs);
  const staleSinceMs = Math.min(verdict.invalidatedAtMs, expiryMs(lifetimeSeconds, ageSeconds, nowMs));
  const untilMs = staleIfErrorUntilMs(meta, staleSinceMs);
  const wanted = directivesHonored(request.fields, policy);
  if (wanted.noCache || ageSeconds > wanted.maxAgeSeconds || wanted.minFreshSeconds > 0) {
    return confirm(meta, verdict, trust, 'request', 0);
  }
  // The clock of invalidations may be a tick ahead of the request's.
  const staleMs = Math.max(0, nowMs - staleSinceMs);
  const inWindow = staleMs < meta.staleWhileRevalidateSeconds * 1000;
  if (trust === 'revalidate' || !inWindow) {
    return confirm(meta, verdict, trust, 'invalidated', untilMs);
  }
  const ttlSeconds = Math.min(lifetimeSeconds - ageSeconds, 0 - staleMs / 1000);
  return { kind: 'serve-stale', refresh: true, ageSeconds, ttlSeconds, reason: 'stale-while-revalidate' };
}

/**
 * While its feed is lost and `on-feed-loss` is `use-headers`, an `until-changed` entry has the lifetime that the
 * response states.
 */
export function usableLifetimeSeconds(meta: StoredMeta, trust: FeedTrust): number {
  const own = trust === 'use-headers' && meta.lifetimeSource === 'until-changed';
  return own ? meta.headerLifetimeSeconds : meta.lifetimeSeconds;
}

function expiryMs(lifetimeSeconds: number, ageSeconds: number, nowMs: number): number {
  return nowMs + (lifetimeSeconds - ageSeconds) * 1000;
}

/**
 * RFC 5861 §4. A client's stale-if-error does not count where RFC 9111 §4.2.4 forbids stale responses. A stored error
 * never stands in for another error.
 */
function staleIfErrorUntilMs(meta: StoredMeta, staleSinceMs: number, requestedSeconds = 0): number {
  const seconds = Math.max(meta.staleIfErrorSeconds, meta.mustRevalidate ? 0 : requestedSeconds);
  return meta.status >= 500 || seconds === 0 ? 0 : staleSinceMs + seconds * 1000;
}

const CLEAR: Verdict = { kind: 'clear' };

function confirm(
  meta: StoredMeta,
  verdict: Verdict,
  trust: FeedTrust,
  reason: RevalidateReason,
  staleIfErrorUntilMs: number,
): ReuseDecision {
  const kind = isConfirmable(meta, verdict, trust) ? 'revalidate' : 'fetch';
  return { kind, reason, staleIfErrorUntilMs };
}

function directivesHonored(fields: Fields, policy: RouteCacheConfig): RequestDirectives {
  return policy.clientDirectives === 'honor' ? requestDirectives(fields) : NO_REQUEST_DIRECTIVES;
}
