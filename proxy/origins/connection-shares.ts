import type { Config, OriginConfig } from '../../policies/config/config.ts';

/**
 * Divides an origin's connection limit among the threads that connect to it: the workers and, if a route uses
 * write-behind, the journal. Each has at least one connection, whatever the limit.
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

/** At most the number of concurrent deliveries, and at most an even share. */
export function journalConnections(
  config: Config,
  { connections }: Pick<OriginConfig, 'connections'>,
  workers: number,
): number {
  return Math.min(config.journal.deliveries, Math.max(1, Math.floor(connections / (workers + 1))));
}
