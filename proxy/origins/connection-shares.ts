import type { Config, OriginConfig } from '../../policies/config/config.ts';

/**
 * How the limit on an origin's connections is kept by those who each ask it by themselves: the workers, and where a route
 * writes behind, the journal. Everybody has one, whatever the limit.
 */
export function workerConnections(
  config: Config,
  { name, connections }: Pick<OriginConfig, 'name' | 'connections'>,
  { index, workers }: { readonly index: number; readonly workers: number },
): number {
  const isWrittenBehind = config.routes.some(
    ({ origin, write }) => origin === name && write.policy === 'behind',
  );
  const left = connections - (isWrittenBehind ? journalConnections(config, { connections }, workers) : 0);
  return Math.max(1, Math.floor(left / workers) + (index < left % workers ? 1 : 0));
}

/** No more than it delivers at a time, and no more than an even share. */
export function journalConnections(
  config: Config,
  { connections }: Pick<OriginConfig, 'connections'>,
  workers: number,
): number {
  return Math.min(config.journal.deliveries, Math.max(1, Math.floor(connections / (workers + 1))));
}
