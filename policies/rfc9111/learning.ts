/**
 * RFC 9111 §4.3.3 to §4.3.5: what an answer of the origin means for a response that is stored under the same key. It is
 * learnt from whether the answer is stored itself or not.
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

/** An answer of the origin to a GET or HEAD, and what it was asked. `request`: as decisions see it, with GET as its method. */
export interface LearntResponse extends Update {
  readonly status: number;
  readonly asked: {
    readonly method: string;
    /** Whose preconditions the origin was sent. */
    readonly conditions: 'none' | 'own' | 'client';
    /** False: what is stored may be fresh, and was not asked about; the request wanted something else. */
    readonly isInQuestion: boolean;
  };
  /** The fence's sequence before it was asked. */
  readonly floor: number;
  /** What the answer would be stored as, or why it can't be; `isKept`: whether it was, or is about to be. */
  readonly storing: StoringDecision;
  readonly isKept: boolean;
}

/** What is stored, as far as it matters here. */
export interface KnownResponse {
  readonly meta: StoredMeta;
  /** Length of the content; -1: not known yet. */
  readonly sizeBytes: number;
  readonly floor: number;
  /** It may be served in place of an answer that is an error. */
  readonly standsIn: boolean;
}

export type Learning =
  /** The answer takes its place. */
  | { readonly kind: 'replaced' }
  /** It is still right, with these fields. */
  | { readonly kind: 'confirmed'; readonly meta: StoredMeta }
  /** Not what the origin has now: stale (§4.3.5), and to be validated before it is used, but it may stand in for an error. */
  | { readonly kind: 'stale'; readonly meta: StoredMeta }
  /** The origin has something else, or nothing, to say: it is not used any more, whatever windows it has. */
  | { readonly kind: 'outdated' }
  | { readonly kind: 'nothing' };

export function decideLearning(known: KnownResponse, answer: LearntResponse): Learning {
  const { meta } = known;
  const isNewer = known.floor > answer.floor || meta.requestTimeMs > answer.requestTimeMs;
  // §4.1: an answer speaks only of what could have been chosen for its request.
  if (isNewer || !answers(meta, answer.request)) return NOTHING;
  const { status, asked } = answer;
  if (status === 304) return asked.conditions === 'own' ? byNotModified(meta, answer) : NOTHING;
  if (!teaches(answer)) return NOTHING;
  // Some servers answer the range of a HEAD, too.
  if (status === 206) return byPart(known, answer);
  if (asked.method === 'HEAD') return byHead(known, answer);
  return status >= 500 ? byError(known, answer) : byWhole(known, answer);
}

/** Whether the answer can mean anything at all for what is stored. */
export function teaches({ status, storing, isKept, request }: LearntResponse): boolean {
  if (OF_THE_REQUEST.has(status)) return false;
  // RFC 9110 §15.5.2: it refuses the credentials. What is stored was answered to requests without any, or to all.
  if (status === 401 && hasField(request.fields, 'authorization')) return false;
  return status < 500 || (isKept && storing.kind === 'store');
}

/** Whether the status speaks of the request, of the client or of the moment, not of what the resource is now. */
export function isOfTheRequest(status: number): boolean {
  return OF_THE_REQUEST.has(status);
}

/** Whether the answer may be stored: an error does not displace what stands in for it (RFC 5861 §4). */
export function mayDisplace(known: readonly KnownResponse[], answer: LearntResponse): boolean {
  if (!isStaleIfErrorStatus(answer.status)) return true;
  return known.every((each) => !answers(each.meta, answer.request) || byError(each, answer) === REPLACED);
}

/** RFC 9110 §15.5, RFC 6585. */
const OF_THE_REQUEST: ReadonlySet<number> = new Set([
  400, 406, 407, 408, 411, 412, 413, 414, 415, 416, 417, 421, 425, 426, 428, 429, 431,
]);

const NOTHING: Learning = { kind: 'nothing' };
const REPLACED: Learning = { kind: 'replaced' };
const OUTDATED: Learning = { kind: 'outdated' };

/** §4.3.4, of the response that the 304 has picked. */
function byNotModified(meta: StoredMeta, answer: LearntResponse): Learning {
  const decision = freshen(meta, answer);
  if (decision.kind === 'store') return { kind: 'confirmed', meta: decision.meta };
  // §5.2.1.5: it is the 304 that leaves no trace.
  return decision.reason === 'request-no-store' ? NOTHING : OUTDATED;
}

/** §4.3.3: the origin has failed, and what is stored may be right. */
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

/** A part is the answer to its range alone; by its validators and length it tells what it is a part of. */
function byPart({ meta, sizeBytes }: KnownResponse, answer: LearntResponse): Learning {
  const { storing, isKept } = answer;
  if (isKept && storing.kind === 'store' && replaces(storing.meta, meta)) return REPLACED;
  const part = partOf(answer.request, answer.fields);
  const completeBytes = part === 'malformed' ? null : part.completeBytes;
  const size = meta.part === null ? sizeBytes : (meta.part.completeBytes ?? -1);
  const isOfAnother = completeBytes !== null && size >= 0 && completeBytes !== size;
  return isOfAnother || validators(meta, answer) === 'differ' ? OUTDATED : NOTHING;
}

/** §4.3.3: a full answer means that nothing that was asked about is right. */
function byWhole({ meta }: KnownResponse, answer: LearntResponse): Learning {
  const { storing, isKept, asked, status } = answer;
  if (isKept && storing.kind === 'store') {
    if (replaces(storing.meta, meta)) return REPLACED;
    // Variants of other requests, by the same fields, are refreshed for these; by other fields none is left to be chosen.
    return storing.meta.vary.join() === meta.vary.join() ? NOTHING : OUTDATED;
  }
  const same = status === (meta.part === null ? meta.status : 200) ? validators(meta, answer) : 'differ';
  const isOfClient = storing.kind === 'store' || OF_THE_CLIENT.has(storing.reason);
  if (same === 'match') return isOfClient ? NOTHING : OUTDATED;
  return asked.isInQuestion || same === 'differ' ? OUTDATED : NOTHING;
}

/** Why an answer is for its client alone, whatever may be said of the resource. */
const OF_THE_CLIENT: ReadonlySet<NotStoredReason> = new Set([
  'authorization',
  'request-no-store',
  'set-cookie',
  'too-large',
]);

/** Whether the two are of one representation, as far as their validators tell. */
function validators(meta: StoredMeta, { fields }: LearntResponse): 'match' | 'differ' | 'unknown' {
  const { etag, lastModifiedMs } = validatorsOf(fields, meta.responseTimeMs);
  if (etag !== null && meta.etag !== null) return etagsMatchWeakly(etag, meta.etag) ? 'match' : 'differ';
  if (lastModifiedMs === null || meta.lastModifiedMs === null) return 'unknown';
  return lastModifiedMs === meta.lastModifiedMs ? 'unknown' : 'differ';
}

/** As it is from then on: its lifetime is over, and nobody is served it while the origin is asked. */
function staleSince(meta: StoredMeta, nowMs: number): StoredMeta {
  const ageSeconds = currentAgeSeconds(meta, nowMs);
  return {
    ...meta,
    lifetimeSeconds: Math.min(meta.lifetimeSeconds, ageSeconds),
    headerLifetimeSeconds: Math.min(meta.headerLifetimeSeconds, ageSeconds),
    staleWhileRevalidateSeconds: 0,
  };
}
