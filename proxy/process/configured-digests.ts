import { createHash } from 'node:crypto';
import type { Config } from '../../policies/config/config.ts';
import { tagOfRoute } from '../../policies/tags.ts';
import type { Fence } from '../fence/fence.ts';
import type { StateStore } from '../state/state-store.ts';

/**
 * Invalidates the entries of every route whose configuration is another than the one under which they may have been
 * stored, in this run or an earlier one. A route that is taken out keeps its digest, for it may come back changed.
 */
export async function invalidateChangedRoutes(
  config: Config,
  state: StateStore,
  fence: Fence,
): Promise<string[]> {
  const digests = state.table('digests');
  const changed = config.routes.flatMap((route) => {
    const key = `route:${createHash('sha256').update(route.name).digest('hex')}`;
    const { match, origin, cache } = route;
    const digest = createHash('sha256').update(JSON.stringify({ match, origin, cache })).digest();
    const before = digests.get(key);
    return before?.equals(digest) === true
      ? []
      : [{ name: route.name, key, digest, isNew: before === undefined }];
  });
  if (changed.length === 0) return [];
  await fence.invalidate({
    tags: changed.filter(({ isNew }) => !isNew).map(({ name }) => tagOfRoute(name)),
    mode: 'hard',
    also: () => changed.forEach(({ key, digest }) => digests.put(key, digest)),
  });
  return changed.filter(({ isNew }) => !isNew).map(({ name }) => name);
}
