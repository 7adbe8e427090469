import type { Config } from '../../policies/config/config.ts';
import { tagOfRoute } from '../../policies/tags.ts';
import { NotDurableError } from '../fence/fence-state.ts';
import type { Fence } from '../fence/fence.ts';
import type { TagHashes } from '../fence/tag-hash.ts';
import type { Log } from '../observability/logger.ts';
import type { StateStore } from '../state/state-store.ts';
import { changedRoutes, type ChangedRoutes } from './configured-digests.ts';

export type ReloadResult =
  | { readonly kind: 'reloaded'; readonly invalidatedRoutes: readonly string[] }
  /** The reasons name settings that need a restart. Nothing was changed. */
  | { readonly kind: 'refused'; readonly reasons: readonly string[] };

export interface ReloadDependencies {
  readonly state: StateStore;
  readonly fence: Fence;
  readonly log: Log;
  /** Puts the configuration in force in all threads. */
  swap(config: Config): Promise<void>;
}

/**
 * Swaps the configuration while holds cover the entries of changed routes. Without the holds, an invalidation would miss
 * entries while some threads use the old routes and some the new ones.
 */
export async function swapUnderHold(config: Config, deps: ReloadDependencies): Promise<ReloadResult> {
  const { state, fence, swap } = deps;
  const changed = changedRoutes(config, state);
  const held = fence.hasher.hash(changed.withNew.map(tagOfRoute));
  try {
    await fence.hold(held, () => {});
  } catch (error) {
    if (error instanceof NotDurableError) return { kind: 'refused', reasons: [error.message] };
    throw error;
  }
  try {
    await swap(config);
  } finally {
    await release(held, changed, deps);
  }
  return { kind: 'reloaded', invalidatedRoutes: changed.names };
}

/** Invalidates the entries of changed routes. If this can't be written, the next start invalidates them. */
async function release(
  held: TagHashes,
  changed: ChangedRoutes,
  { fence, log }: ReloadDependencies,
): Promise<void> {
  try {
    await fence.release(held, [], changed.note);
  } catch (error) {
    fence.drop(held);
    if (!(error instanceof NotDurableError)) throw error;
    log.error(
      { event: 'reload-not-durable', err: error },
      'the digests of the new routes could not be written',
    );
  }
}
