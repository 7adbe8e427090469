/**
 * RFC 9111 §4, collapsed requests: who may be given an answer that somebody else's request brought. It may be used for
 * several requests only as far as it may be reused for them; so what directives, credentials, validators and lifetime say
 * of it is judged as for a stored response.
 *
 * The fence, a feed and the client's own directives ask for something else: that the origin is asked again. An answer that
 * the origin was asked for after the request came satisfies them.
 */
import type { RouteCacheConfig } from '../config/config.ts';
import type { FeedTrust, RequestView, StoredMeta } from '../model.ts';
import { isOfTheRequest } from './learning.ts';
import { decideReuse } from './reuse.ts';
import { answers } from './vary.ts';

export interface SharingQuestion {
  readonly meta: StoredMeta;
  /** Of whoever waits: not the request that was sent. */
  readonly request: RequestView;
  readonly trust: FeedTrust;
  readonly policy: RouteCacheConfig;
  /** Wall clock, when that request came. */
  readonly arrivedAtMs: number;
  /** Whether the origin was asked after that request came. */
  readonly isAskedSince: boolean;
}

export type SharingDecision =
  | { readonly kind: 'share' }
  /** Vary selects another answer. */
  | { readonly kind: 'other-variant' }
  /** For the request alone that was sent: every other one has to be sent itself. */
  | { readonly kind: 'private' }
  /** An answer for which the origin is asked later may be shared. */
  | { readonly kind: 'superseded' };

export function decideSharing(question: SharingQuestion): SharingDecision {
  const { meta, request, trust, policy, arrivedAtMs, isAskedSince } = question;
  if (!answers(meta, request)) return OTHER_VARIANT;
  const isFor = (view: RequestView, feed: FeedTrust): boolean =>
    isReusable(asReceived(meta, arrivedAtMs), view, feed, policy, arrivedAtMs);
  if (!isFor(WITHOUT_DIRECTIVES, 'live') && !isFor(request, 'live')) return PRIVATE;
  return isAskedSince || isFor(request, trust) ? SHARE : SUPERSEDED;
}

/** Whether the answer may be shared with requests that its Vary selects it for and that demand nothing of their own. */
export function isShareable(meta: StoredMeta, policy: RouteCacheConfig): boolean {
  const { responseTimeMs } = meta;
  return isReusable(asReceived(meta, responseTimeMs), WITHOUT_DIRECTIVES, 'live', policy, responseTimeMs);
}

/**
 * Whether an answer with this status may be due to what the one request carried (its fields, its credentials, its client's
 * address): that it can't be shared says nothing of the answers to other requests for the same.
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
 * The response as it was when it came, for a request that was there before. The time that the origin took does not count
 * as age then: an overloaded origin that takes longer than a short lifetime would else be asked by everybody at once.
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
