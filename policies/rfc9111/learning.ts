/**
 * RFC 9111 §4.3.3 to §4.3.5: decides what a response of the origin means for another response stored under the same key,
 * whether or not the new one is stored itself.
 */
import { etagsMatchWeakly } from '../http/etags.ts';
import { hasField } from '../http/fields.ts';
import type { NotStoredReason, StoredMeta, StoringDecision } from '../model.ts';
import { currentAgeSeconds } from './freshness.ts';
import { partOf, replaces } from './parts.ts';
import { isStaleIfErrorStatus } from './reuse.ts';
import { validatorsOf } from './storing.ts';
import { freshen, freshenByHead, type Update } from './validation.ts';
import { answers } from './vary.ts';

/**
 * The origin's response to a GET or HEAD, and the request that it answers. `request` has GET as its method, as
 * decisions expect.
 */
export interface LearntResponse extends Update {
  readonly status: number;
  readonly asked: {
    readonly method: string;
    /** The source of the preconditions that were sent to the origin: Weir's validation, or the client. */
    readonly conditions: 'none' | 'own' | 'client';
    /**
     * False where the stored response may be fresh and was not validated: the request was sent for another reason.
     */
    readonly isInQuestion: boolean;
  };
  /** The fence's sequence before the request was sent. */
  readonly floor: number;
  /** The decision on storing the response. `isKept`: it was stored, or is about to be. */
  readonly storing: StoringDecision;
  readonly isKept: boolean;
}

/** The stored response, as far as the decision needs it. */
export interface KnownResponse {
  readonly meta: StoredMeta;
  /** Length of the content; -1 while it is not known. */
  readonly sizeBytes: number;
  readonly floor: number;
  /** It may be served in place of an error response. */
  readonly standsIn: boolean;
}

export type Learning =
  /** The new response takes its place. */
  | { readonly kind: 'replaced' }
  /** It is still valid, with these updated fields. */
  | { readonly kind: 'confirmed'; readonly meta: StoredMeta }
  /**
   * The origin has another version: stale (§4.3.5) and to be validated before use, but it may still stand in for an
   * error.
   */
  | { readonly kind: 'stale'; readonly meta: StoredMeta }
  /** The origin has replaced or removed it: it is never used again, whatever stale windows it has. */
  | { readonly kind: 'outdated' }
  | { readonly kind: 'nothing' };

export function decideLearning(known: KnownResponse, answer: LearntResponse): Learning {
  const { meta } = known;
  const isNewer = known.floor > answer.floor || meta.requestTimeMs > answer.requestTimeMs;
  // §4.1: a response says nothing about variants that could not have been selected for its request.
  if (isNewer || !answers(meta, answer.request)) return NOTHING;
  const { status, asked } = answer;
  if (status === 304) return asked.conditions === 'own' ? byNotModified(meta, answer) : NOTHING;
  if (!isInformative(answer)) return NOTHING;
  // Some servers answer the Range of a HEAD.
  if (status === 206) return byPart(known, answer);
  if (asked.method === 'HEAD') return byHead(known, answer);
  return status >= 500 ? byError(known, answer) : byWhole(known, answer);
}

/** Whether the response can say anything about what is stored. */
export function isInformative({ status, storing, isKept, request }: LearntResponse): boolean {
  if (OF_THE_REQUEST.has(status)) return false;
  // RFC 9110 §15.5.2: the credentials were refused. The stored response answered requests without credentials, or
  // with any.
  if (status === 401 && hasField(request.fields, 'authorization')) return false;
  return status < 500 || (isKept && storing.kind === 'store');
}

/**
 * Whether the status concerns the request, the client or the moment, not the resource's state (RFC 9110 §15.5, RFC
 * 6585).
 */
export function isOfTheRequest(status: number): boolean {
  return OF_THE_REQUEST.has(status);
}

/**
 * Whether the new response may be stored: an error does not displace a response that stands in for it (RFC 5861 §4).
 */
export function mayDisplace(known: readonly KnownResponse[], answer: LearntResponse): boolean {
  if (!isStaleIfErrorStatus(answer.status)) return true;
  return known.every((each) => !answers(each.meta, answer.request) || byError(each, answer) === REPLACED);
}

const OF_THE_REQUEST: ReadonlySet<number> = new Set([
  400, 406, 407, 408, 411, 412, 413, 414, 415, 416, 417, 421, 425, 426, 428, 429, 431,
]);

const NOTHING: Learning = { kind: 'nothing' };
const REPLACED: Learning = { kind: 'replaced' };
const OUTDATED: Learning = { kind: 'outdated' };

/** §4.3.4, for the response that the 304 has selected. */
function byNotModified(meta: StoredMeta, answer: LearntResponse): Learning {
  const decision = freshen(meta, answer);
  if (decision.kind === 'store') return { kind: 'confirmed', meta: decision.meta };
  // §5.2.1.5: only the 304 must not be stored; the entry stays as it was.
  return decision.reason === 'request-no-store' ? NOTHING : OUTDATED;
}

/** §4.3.3: the origin failed, so the stored response may still be valid. */
function byError(known: KnownResponse, answer: LearntResponse): Learning {
  const { storing, isKept, status } = answer;
  if (storing.kind === 'not' || !isKept) return NOTHING;
  if (isStaleIfErrorStatus(status) && known.standsIn) return NOTHING;
  return replaces(storing.meta, known.meta) ? REPLACED : NOTHING;
}

/** §4.3.5. */
function byHead({ meta, sizeBytes }: KnownResponse, answer: LearntResponse): Learning {
  const verdict = freshenByHead(meta, answer.status, answer, sizeBytes);
  switch (verdict.kind) {
    case 'freshened':
      return { kind: 'confirmed', meta: verdict.meta };
    case 'unchanged':
      return NOTHING;
    case 'invalid':
      return verdict.because === 'differs'
        ? { kind: 'stale', meta: staleSince(meta, answer.responseTimeMs) }
        : OUTDATED;
    default:
      return verdict satisfies never;
  }
}

/**
 * A 206 answers its range alone. Its validators and complete length identify the representation that it is a part of.
 */
function byPart({ meta, sizeBytes }: KnownResponse, answer: LearntResponse): Learning {
  const { storing, isKept } = answer;
  if (isKept && storing.kind === 'store' && replaces(storing.meta, meta)) return REPLACED;
  const part = partOf(answer.request, answer.fields);
  const completeBytes = part === 'malformed' ? null : part.completeBytes;
  const size = meta.part === null ? sizeBytes : (meta.part.completeBytes ?? -1);
  const isOfAnother = completeBytes !== null && size >= 0 && completeBytes !== size;
  return isOfAnother || validators(meta, answer) === 'differ' ? OUTDATED : NOTHING;
}

/** §4.3.3: a full response means that none of the validated responses is valid. */
function byWhole({ meta }: KnownResponse, answer: LearntResponse): Learning {
  const { storing, isKept, asked, status } = answer;
  if (isKept && storing.kind === 'store') {
    if (replaces(storing.meta, meta)) return REPLACED;
    // Variants of other requests are refreshed by those requests if Vary names the same fields. If it names others,
    // they can't be selected any more.
    return storing.meta.vary.join() === meta.vary.join() ? NOTHING : OUTDATED;
  }
  const same = status === (meta.part === null ? meta.status : 200) ? validators(meta, answer) : 'differ';
  const isOfClient = storing.kind === 'store' || OF_THE_CLIENT.has(storing.reason);
  if (same === 'match') return isOfClient ? NOTHING : OUTDATED;
  return asked.isInQuestion || same === 'differ' ? OUTDATED : NOTHING;
}

/** The reasons for which a response is for its client alone. They say nothing about the resource. */
const OF_THE_CLIENT: ReadonlySet<NotStoredReason> = new Set([
  'authorization',
  'request-no-store',
  'set-cookie',
  'too-large',
]);

/** Whether the two responses have the same representation, as far as their validators show. */
function validators(meta: StoredMeta, { fields }: LearntResponse): 'match' | 'differ' | 'unknown' {
  const { etag, lastModifiedMs } = validatorsOf(fields, meta.responseTimeMs);
  if (etag !== null && meta.etag !== null) return etagsMatchWeakly(etag, meta.etag) ? 'match' : 'differ';
  if (lastModifiedMs === null || meta.lastModifiedMs === null) return 'unknown';
  return lastModifiedMs === meta.lastModifiedMs ? 'unknown' : 'differ';
}

/** Ends the lifetime and the window of stale-while-revalidate: the origin is asked before the next use. */
function staleSince(meta: StoredMeta, nowMs: number): StoredMeta {
  const ageSeconds = currentAgeSeconds(meta, nowMs);
  return {
    ...meta,
    lifetimeSeconds: Math.min(meta.lifetimeSeconds, ageSeconds),
    headerLifetimeSeconds: Math.min(meta.headerLifetimeSeconds, ageSeconds),
    staleWhileRevalidateSeconds: 0,
  };
}
