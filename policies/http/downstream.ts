/** What the CDN in front is told of an entry: its lifetime there, its age and its tags (`cache.downstream`). */
import type { RouteCacheConfig } from '../config/config.ts';
import type { StoredMeta } from '../model.ts';
import { withoutFields } from './fields.ts';
import type { Fields } from './fields.ts';

const TAG_FIELDS = ['surrogate-key', 'cache-tag', 'xkey'];

/** The entry's fields with the route's Cache-Control and CDN-Cache-Control in place of the origin's. */
export function downstreamFields(fields: Fields, policy: RouteCacheConfig): Fields {
  const { cacheControl, cdnCacheControl, keepTags } = policy.downstream;
  if (cacheControl === null && cdnCacheControl === null && keepTags) return fields;
  const replaced = new Set(keepTags ? [] : TAG_FIELDS);
  // Expires would say otherwise to a cache that reads it (RFC 9111 §5.3).
  if (cacheControl !== null) replaced.add('cache-control').add('expires').add('pragma');
  if (cdnCacheControl !== null) replaced.add('cdn-cache-control');
  const sent = withoutFields(fields, replaced);
  if (cacheControl !== null) sent.push('Cache-Control', cacheControl);
  if (cdnCacheControl !== null) sent.push('CDN-Cache-Control', cdnCacheControl);
  return sent;
}

/**
 * The Age to send. A rewritten lifetime begins here, so nothing before counts. An entry that the route keeps beyond the
 * origin's own lifetime is vouched for by Weir: its time here does not count, or no CDN could keep it.
 */
export function downstreamAgeSeconds(meta: StoredMeta, policy: RouteCacheConfig, ageSeconds: number): number {
  const { cacheControl, cdnCacheControl } = policy.downstream;
  if (cacheControl !== null || cdnCacheControl !== null) return 0;
  const prolonged = policy.freshness !== 'headers' && meta.lifetimeSeconds > meta.headerLifetimeSeconds;
  return prolonged ? Math.min(ageSeconds, meta.initialAgeSeconds) : ageSeconds;
}
