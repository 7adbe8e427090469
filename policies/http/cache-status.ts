/** RFC 9211: Cache-Status, which says how Weir handled a request. */

import { shownKey } from '../key.ts';

export type ForwardReason =
  'bypass' | 'method' | 'uri-miss' | 'vary-miss' | 'miss' | 'request' | 'stale' | 'partial';

export interface CacheStatus {
  readonly hit?: boolean;
  readonly fwd?: ForwardReason;
  readonly fwdStatus?: number;
  readonly stored?: boolean;
  readonly collapsed?: boolean;
  /** Remaining freshness in seconds; not above 0 for a stale response. */
  readonly ttlSeconds?: number;
  readonly key?: string;
  readonly detail?: string;
}

/** Weir's own member, to be appended to those of caches at the origin (§2). */
export function cacheStatus(status: CacheStatus): string {
  let text = 'weir';
  if (status.hit) text += '; hit';
  if (status.fwd !== undefined) text += `; fwd=${status.fwd}`;
  if (status.fwdStatus !== undefined) text += `; fwd-status=${status.fwdStatus}`;
  if (status.stored) text += '; stored';
  if (status.collapsed) text += '; collapsed';
  if (status.ttlSeconds !== undefined) text += `; ttl=${remainingSeconds(status.ttlSeconds)}`;
  if (status.key !== undefined) text += `; key=${sfString(status.key)}`;
  if (status.detail !== undefined) text += `; detail=${sfTokenOrString(status.detail)}`;
  return text;
}

/** §2.3: rounded up, so that the sum of it and Age, which is rounded down, is the lifetime. */
export function remainingSeconds(ttlSeconds: number): number {
  return Math.ceil(ttlSeconds);
}

/** Adds the cache key in the form of `shownKey`, its parts separated by spaces. */
export function withKey(status: CacheStatus, key: string): CacheStatus {
  return { ...status, key: shownKey(key).replaceAll('\n', ' ') };
}

const SF_TOKEN = /^[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*$/;

export function sfTokenOrString(text: string): string {
  return SF_TOKEN.test(text) ? text : sfString(text);
}

/** RFC 9651 §3.3.3: a string of printable ASCII; any other character becomes `?`. */
export function sfString(text: string): string {
  return `"${text.replaceAll(/[^\x20-\x7e]/g, '?').replaceAll(/["\\]/g, String.raw`\$&`)}"`;
}
