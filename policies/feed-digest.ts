import { createHash } from 'node:crypto';
import type { FeedConfig } from './config/config.ts';

/**
 * A digest of a feed's configuration. After a change of configuration a saved position proves nothing, because the
 * feed may read another stream or map changes to other tags. `max-silence` and `read-lag` are left out.
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
