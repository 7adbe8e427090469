/** Cache-Status, RFC 9211: what Weir did with a request, for whoever reads the response. */

import { shownKey } from '../key.ts';

export type ForwardReason =
  'bypass' | 'method' | 'uri-miss' | 'vary-miss' | 'miss' | 'request' | 'stale' | 'partial';

export interface CacheStatus {
  readonly hit?: boolean;
  readonly fwd?: ForwardReason;
  readonly fwdStatus?: number;
  readonly stored?: boolean;
  readonly collapsed?: boolean;
  /** Remaining freshness; not above 0 where stale. */
  readonly ttlSeconds?: number;
  readonly key?: string;
  readonly detail?: string;
}

/** Weir's own member; appended to what the origin's caches sent (§2). */
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

/** §2.3: a whole number, so that it and Age, which is cut to whole seconds, make up the lifetime. */
export function remainingSeconds(ttlSeconds: number): number {
  return Math.ceil(ttlSeconds);
}

/** With the cache key as `shownKey` has it, its parts with spaces between them. */
export function withKey(status: CacheStatus, key: string): CacheStatus {
  return { ...status, key: shownKey(key).replaceAll('\n', ' ') };
}

const SF_TOKEN = /^[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*$/;

export function sfTokenOrString(text: string): string {
  return SF_TOKEN.test(text) ? text : sfString(text);
}

/** RFC 9651 §3.3.3: printable ASCII; anything else is shown as `?`. */
export function sfString(text: string): string {
  return `"${text.replaceAll(/[^\x20-\x7e]/g, '?').replaceAll(/["\\]/g, String.raw`\$&`)}"`;
}
