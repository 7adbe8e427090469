/**
 * Decisions on writes: the outcome of a response or failure, whether and when a write is sent again, which writes may be
 * merged, and which response to a PUT shows the fields of a later GET.
 */
import { createHash } from 'node:crypto';
import type { RouteWriteConfig, WritesConfig } from './config/config.ts';
import { parseHttpDate } from './http/dates.ts';
import { parseEtag } from './http/etags.ts';
import {
  COOKIES,
  CREDENTIALS,
  fieldValue,
  hasField,
  listMembers,
  trimmed,
  withoutFields,
  type Fields,
} from './http/fields.ts';

/**
 * `applied`: the write was carried out, perhaps in part. `rejected`: it changed nothing. `unknown`: the origin may still
 * carry it out.
 */
export type WriteOutcome = 'applied' | 'rejected' | 'unknown';

/** `unknown` for 502 and 504: the origin behind the gateway may still be working (RFC 9110 §15.6.3, §15.6.5). */
export function outcomeOfStatus(status: number): WriteOutcome {
  if (status === 502 || status === 504) return 'unknown';
  return status >= 400 && status < 500 ? 'rejected' : 'applied';
}

export function outcomeOfFailure(failure: { readonly maybeProcessed: boolean }): WriteOutcome {
  return failure.maybeProcessed ? 'unknown' : 'rejected';
}

/** A bound on the number of holds: for one client, or for all clients together. */
export type HoldBound = 'client' | 'all';

/** Whether a write may be sent. `held` has the numbers of existing holds and of writes that may leave one. */
export function decideSlot(
  held: Readonly<Record<HoldBound, number>>,
  limits: WritesConfig,
): { readonly kind: 'free' } | { readonly kind: 'refused'; readonly bound: HoldBound } {
  if (held.client >= limits.heldPerClient) return { kind: 'refused', bound: 'client' };
  if (held.all >= limits.held) return { kind: 'refused', bound: 'all' };
  return { kind: 'free' };
}

/**
 * The name under which a client's holds are counted. It is a digest of the IPv4 address, or of the first 64 bits of the
 * IPv6 address, because one client has a whole network. So the state contains no addresses.
 */
export function holdClientOf(address: string): string {
  const text = address.includes(':') ? networkOf(address) : address;
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/** The first four groups of an IPv6 address. */
function networkOf(address: string): string {
  const [head = '', tail] = address.toLowerCase().split('%', 1)[0]!.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const after = tail === '' ? [] : tail.split(':');
    const width = after.length + (tail.includes('.') ? 1 : 0);
    groups.push(...Array.from({ length: Math.max(0, 8 - groups.length - width) }, () => '0'), ...after);
  }
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16))
    .join(':');
}

/** The result of one attempt to deliver a write. */
export type Attempt =
  | { readonly kind: 'answered'; readonly status: number; readonly fields: Fields }
  | { readonly kind: 'failed'; readonly maybeProcessed: boolean; readonly message: string };

export interface AttemptedWrite {
  readonly method: string;
  readonly fields: Fields;
  /** The number of attempts, including this one. */
  readonly attempts: number;
  /** The origin may have carried out an earlier attempt. */
  readonly wasUncertain: boolean;
}

export type DeliveryDecision =
  | { readonly kind: 'delivered' }
  /** `error` is for operators. */
  | {
      readonly kind: 'retry';
      readonly afterMs: number;
      readonly outcome: WriteOutcome;
      readonly error: string;
    }
  | {
      readonly kind: 'dead';
      readonly state: 'dead' | 'uncertain';
      readonly outcome: WriteOutcome;
      readonly error: string;
    };

/** Decides what follows an attempt. `random` is in [0, 1). */
export function decideDelivery(
  attempt: Attempt,
  write: AttemptedWrite,
  retry: RouteWriteConfig['retry'],
  nowMs: number,
  random: number,
): DeliveryDecision {
  if (attempt.kind === 'failed') {
    return retryOrGiveUp(
      write,
      retry,
      outcomeOfFailure(attempt),
      attempt.message,
      backoffMs(write, retry, random),
    );
  }
  const { status, fields } = attempt;
  if (isDelivered(write.method, status)) return { kind: 'delivered' };
  // An earlier attempt may have deleted it, and DELETE is idempotent (RFC 9110 §9.2.2).
  if (write.wasUncertain && write.method === 'DELETE' && (status === 404 || status === 410)) {
    return { kind: 'delivered' };
  }
  const outcome = outcomeOfStatus(status);
  const isRedirected = status >= 300 && status < 400;
  const error = `the origin answered ${status}${isRedirected ? ', a redirection, so the write was not carried out' : ''}`;
  if (isRetried(status, write, retry)) {
    const pauseMs = Math.max(backoffMs(write, retry, random), retryAfterMs(fields, nowMs));
    return retryOrGiveUp(write, retry, outcome, error, pauseMs);
  }
  if (status === 412 && write.wasUncertain && hasPrecondition(write.fields)) {
    const why = `${error}: an earlier attempt may have been carried out and made the precondition fail`;
    return { kind: 'dead', state: 'uncertain', outcome, error: why };
  }
  return { kind: 'dead', state: 'dead', outcome, error };
}

/**
 * Whether the status shows delivery. 303 names another resource that shows the outcome (RFC 9110 §15.4.4). Clients treat
 * 302 to a POST in the same way (§15.4.3). Any other redirection means that the write was not carried out: login pages
 * and gateways answer PUT, PATCH and DELETE with 302.
 */
function isDelivered(method: string, status: number): boolean {
  return (status >= 200 && status < 300) || status === 303 || (status === 302 && method === 'POST');
}

function isRetried(status: number, write: AttemptedWrite, { statuses }: RouteWriteConfig['retry']): boolean {
  // The origin is still processing the first attempt under the same Idempotency-Key
  // (draft-ietf-httpapi-idempotency-key-header §2.6).
  if (status === 409 && write.wasUncertain) return true;
  if (statuses !== null) return statuses.includes(status);
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

function retryOrGiveUp(
  write: AttemptedWrite,
  retry: RouteWriteConfig['retry'],
  outcome: WriteOutcome,
  error: string,
  afterMs: number,
): DeliveryDecision {
  if (write.attempts < retry.attempts) return { kind: 'retry', afterMs, outcome, error };
  return {
    kind: 'dead',
    state: 'dead',
    outcome,
    error: `${error} (the last of ${write.attempts} attempts)`,
  };
}

/** Exponential backoff with full jitter: from 0 to base · 2^(attempts − 1), at most `max`. */
function backoffMs({ attempts }: AttemptedWrite, retry: RouteWriteConfig['retry'], random: number): number {
  return random * Math.min(retry.maxMs, retry.baseMs * 2 ** Math.min(attempts - 1, 40));
}

const MAX_RETRY_AFTER_MS = 86_400_000;

/** RFC 9110 §10.2.3: Retry-After, in seconds or as a date, at most a day; 0: absent or malformed. */
export function retryAfterMs(fields: Fields, nowMs: number): number {
  const value = trimmed(fieldValue(fields, 'retry-after') ?? '');
  if (/^\d+$/.test(value)) return Math.min(MAX_RETRY_AFTER_MS, Number(value) * 1000);
  const date = parseHttpDate(value, nowMs);
  return date === null ? 0 : Math.min(MAX_RETRY_AFTER_MS, Math.max(0, date - nowMs));
}

const PRECONDITIONS = ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range'];

export function hasPrecondition(fields: Fields): boolean {
  return PRECONDITIONS.some((name) => hasField(fields, name));
}

/** Whether a PUT may replace an earlier one, or be replaced by a later one, before it is sent. */
export function isMergeable(method: string, fields: Fields): boolean {
  return method === 'PUT' && !hasPrecondition(fields) && !hasField(fields, 'content-range');
}

/** Whether both requests have the same credentials. Otherwise the origin could refuse only one of them. */
export function hasSameCredentials(one: Fields, other: Fields): boolean {
  return CREDENTIALS.every((name) => fieldValue(one, name) === fieldValue(other, name));
}

/** A digest of the request. Requests with one Idempotency-Key count as the same if their digests are equal. */
export function requestDigest(request: {
  readonly method: string;
  readonly target: string;
  readonly fields: Fields;
  readonly body: Uint8Array | null;
}): string {
  const digest = createHash('sha256');
  digest.update(`${request.method}\n${request.target}\n`);
  for (const name of ['content-type', 'content-encoding', 'content-language', ...PRECONDITIONS]) {
    digest.update(`${name}:${fieldValue(request.fields, name) ?? ''}\n`);
  }
  if (request.body !== null) digest.update(request.body);
  return digest.digest('base64url');
}

/**
 * The request's Idempotency-Key in the scope of its origin, its host (`authority`; null: the origin does not see it) and
 * its credentials (Authorization and Cookie). Null: the request has none.
 */
export function scopedIdempotencyKey(
  { origin, authority }: { readonly origin: string; readonly authority: string | null },
  fields: Fields,
): string | null {
  const key = fieldValue(fields, 'idempotency-key');
  if (key === undefined || trimmed(key) === '') return null;
  // Without a Cookie the scope is the one that earlier versions wrote into journals.
  const cookie = fieldValue(fields, 'cookie');
  const credentials = `${fieldValue(fields, 'authorization') ?? ''}${cookie === undefined ? '' : `\n${cookie}`}`;
  const site = authority === null ? origin : `${origin}@${authority}`;
  return createHash('sha256')
    .update(`${site}\n${credentials}\n${trimmed(key)}`)
    .digest('base64url');
}

/**
 * The fields of the origin's response for a request that repeats an earlier one by its Idempotency-Key. Set-Cookie is
 * omitted, because it is for the delivered request.
 */
export function repeatedResponseFields(fields: Fields): string[] {
  return withoutFields(fields, COOKIES);
}

const MAX_WAIT_SECONDS = 600;

/** RFC 7240 §4.3: the client's wait for the response in milliseconds, at most ten minutes; 0: none. */
export function preferredWaitMs(fields: Fields): number {
  for (const preference of listMembers(fields, 'prefer')) {
    const seconds = /^wait[ \t]*=[ \t]*"?(\d{1,6})"?[ \t]*(?:;|$)/i.exec(preference)?.[1];
    if (seconds !== undefined) return Math.min(MAX_WAIT_SECONDS, Number(seconds)) * 1000;
  }
  return 0;
}

/**
 * The fields of the response that a GET would get after this PUT; null: the response to the PUT does not show them. A
 * validator in it means that the content was stored unchanged (RFC 9110 §9.3.4).
 */
export function representationOfPut(request: Fields, status: number, response: Fields): Fields | null {
  if (status !== 200 && status !== 201 && status !== 204) return null;
  const etag = parseEtag(fieldValue(response, 'etag'));
  const hasValidator = etag !== null || hasField(response, 'last-modified');
  // Not every GET gets encoded content, which is for clients that accept it, or a part of the content.
  const isWhole = !hasField(request, 'content-encoding') && !hasField(request, 'content-range');
  if (!hasValidator || !isWhole || hasField(response, 'vary')) return null;
  return [...picked(request, CONTENT_FIELDS), ...picked(response, RESPONSE_FIELDS)];
}

const CONTENT_FIELDS: ReadonlySet<string> = new Set([
  'content-type',
  'content-language',
  'content-disposition',
]);
const RESPONSE_FIELDS: ReadonlySet<string> = new Set([
  'etag',
  'last-modified',
  'date',
  'cache-control',
  'cdn-cache-control',
  'expires',
  'surrogate-key',
  'cache-tag',
  'xkey',
  'cache-groups',
]);

function picked(fields: Fields, names: ReadonlySet<string>): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (names.has(fields[i]!.toLowerCase())) kept.push(fields[i]!, fields[i + 1]!);
  }
  return kept;
}
