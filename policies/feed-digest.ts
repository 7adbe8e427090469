import { createHash } from 'node:crypto';
import type { FeedConfig } from './config/config.ts';

/**
 * Tells one configuration of a feed from another: under a changed one a saved position proves nothing, neither of another
 * stream nor of what another map would have invalidated. How long it may be silent or lag does not count.
 */
export function feedDigest(feed: FeedConfig): string {
  const { type, format, map, options, versionField } = feed;
  const version = versionField === null ? {} : { versionField };
  return createHash('sha256')
    .update(canonical({ type, format, map, options, ...version }))
    .digest('hex');
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_name, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}
