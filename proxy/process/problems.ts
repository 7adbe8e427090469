import type { Config } from '../../policies/config/config.ts';
import type { DiskWriter } from '../cache/disk/writer.ts';
import type { Fence } from '../fence/fence.ts';

/** What keeps Weir from doing all that it is configured for, while it serves; each in a sentence, for operators. */
export function problemsOf(
  config: Config,
  fence: Pick<Fence, 'isFailing'>,
  disk: Pick<DiskWriter, 'storing' | 'evictLastFull'> | null,
): string[] {
  const problems: string[] = [];
  if (fence.isFailing) problems.push('the state can not be written: purges and writes are refused');
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
