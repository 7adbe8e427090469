import type { Config } from '../../policies/config/config.ts';
import type { DiskWriter } from '../store/disk/writer.ts';
import type { Fence } from '../fence/fence.ts';
import type { StoppedUrl } from '../writes/journal-admin.ts';
import type { OriginCells } from '../origins/origin-cells.ts';

export interface Condition {
  readonly config: Config;
  readonly fence: Pick<Fence, 'isFailing'>;
  readonly disk: Pick<DiskWriter, 'storing' | 'evictLastFull'> | null;
  readonly originCells: Pick<OriginCells, 'isHealthy'>;
  /** One sentence for each failing origin. */
  readonly originFailures: readonly string[];
  readonly stopped: readonly StoppedUrl[];
}

/**
 * The configured functions that Weir can't perform while it serves, one sentence each, for operators. The admin side shows
 * them without a token, so they contain no addresses and no secrets.
 */
export function problemsOf({
  config,
  fence,
  disk,
  originCells,
  originFailures,
  stopped,
}: Condition): string[] {
  const problems = [...diskProblems(config, fence, disk), ...originFailures, ...stopped.map(stoppedProblem)];
  for (const { name, urls, health } of Object.values(config.origins)) {
    const unhealthy = urls.filter((_, place) => !originCells.isHealthy(name, place)).length;
    if (health === null || unhealthy === 0) continue;
    problems.push(`the health check of the origin ${name} fails for ${unhealthy} of ${urls.length} URLs`);
  }
  return problems;
}

function stoppedProblem({ id, method, origin, path }: StoppedUrl): string {
  return `writes to ${path} of the origin ${origin} wait for ${method} ${id}, which is dead: retry or discard it`;
}

/** The maximum of dead writes that one query reads. */
export const STOPPED_AT_MOST = 20;

function diskProblems(config: Config, fence: Condition['fence'], disk: Condition['disk']): string[] {
  const problems: string[] = [];
  if (fence.isFailing) problems.push("the state can't be written: purges and writes are refused");
  if (disk === null) {
    if (config.cache.disk.sizeBytes > 0) problems.push('the cache on disk could not be opened and is off');
    return problems;
  }
  const { storing, evictLastFull } = disk;
  if (storing === 'stopped') problems.push('nothing more is stored on disk until there is room');
  if (storing === 'stopped-until-restart')
    problems.push('the disk failed: nothing more is stored on it until a restart');
  if (evictLastFull) problems.push('entries of routes with evict: last leave no room for others on disk');
  return problems;
}
