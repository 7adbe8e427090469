/**
 * RFC 9111 §4, collapsed requests: whether a waiting request may be answered by a response that another request
 * fetched. Directives, credentials, validators and lifetime are judged as for a stored response, because a response
 * may be shared only as far as it could be reused.
 *
 * The fence, the feed and the client's own directives demand only that the origin is asked again. A request that was
 * sent to the origin after the waiting one arrived meets that demand.
 */
import type { RouteCacheConfig } from '../config/config.ts';
import type { FeedTrust, RequestView, StoredMeta } from '../model.ts';
import { isOfTheRequest } from './learning.ts';
import { decideReuse } from './reuse.ts';
import { answers } from './vary.ts';

export interface SharingQuestion {
  readonly meta: StoredMeta;
  /** The waiting request, not the one that was sent. */
  readonly request: RequestView;
  readonly trust: FeedTrust;
  readonly policy: RouteCacheConfig;
  /** Wall clock, when the waiting request arrived. */
  readonly arrivedAtMs: number;
  /** Whether the origin was asked after the waiting request arrived. */
  readonly isAskedSince: boolean;
}

export type SharingDecision =
  | { readonly kind: 'share' }
  /** Vary selects another response for the waiting request. */
  | { readonly kind: 'other-variant' }
  /** The response is for its own request alone: every other request is sent itself. */
  | { readonly kind: 'private' }
  /** The waiting request needs a fetch that begins later. */
  | { readonly kind: 'superseded' };

export function decideSharing(question: SharingQuestion): SharingDecision {
  const { meta, request, trust, policy, arrivedAtMs, isAskedSince } = question;
  if (!answers(meta, request)) return OTHER_VARIANT;
  const isFor = (view: RequestView, feed: FeedTrust): boolean =>
    isReusable(asReceived(meta, arrivedAtMs), view, feed, policy, arrivedAtMs);
  if (!isFor(WITHOUT_DIRECTIVES, 'live') && !isFor(request, 'live')) return PRIVATE;
  return isAskedSince || isFor(request, trust) ? SHARE : SUPERSEDED;
}

/**
 * Whether the response may be shared with any request that its Vary selects it for and that has no directives of its
 * own.
 */
export function isShareable(meta: StoredMeta, policy: RouteCacheConfig): boolean {
  const { responseTimeMs } = meta;
  return isReusable(asReceived(meta, responseTimeMs), WITHOUT_DIRECTIVES, 'live', policy, responseTimeMs);
}

/**
 * Whether an answer with this status may result from properties of its request: fields, credentials or the client's
 * address. If such an answer can't be shared, the answers to other requests with the key may still be shareable.
 */
export function isOfOneRequest(status: number): boolean {
  return status === 401 || status === 403 || isOfTheRequest(status);
}

function isReusable(
  meta: StoredMeta,
  request: RequestView,
  trust: FeedTrust,
  policy: RouteCacheConfig,
  nowMs: number,
): boolean {
  const { kind } = decideReuse({ meta, request, verdict: { kind: 'clear' }, trust, policy, nowMs });
  return kind === 'serve' || kind === 'serve-stale';
}

/**
 * Omits the origin's response time from the initial age, for a request that arrived before the response. Otherwise every
 * waiting client would cause a request to an origin whose response takes longer than a short lifetime.
 */
function asReceived(meta: StoredMeta, arrivedAtMs: number): StoredMeta {
  if (arrivedAtMs > meta.responseTimeMs) return meta;
  const delaySeconds = Math.max(0, meta.responseTimeMs - meta.requestTimeMs) / 1000;
  return { ...meta, initialAgeSeconds: Math.max(0, meta.initialAgeSeconds - delaySeconds) };
}

const WITHOUT_DIRECTIVES: RequestView = { method: 'GET', fields: [] };
const OTHER_VARIANT: SharingDecision = { kind: 'other-variant' };
const SHARE: SharingDecision = { kind: 'share' };
const PRIVATE: SharingDecision = { kind: 'private' };
const SUPERSEDED: SharingDecision = { kind: 'superseded' };
