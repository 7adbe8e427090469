import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import type { ResourceLimits } from 'node:worker_threads';
import type { CacheConfig } from '../../policies/config/config.ts';
import { MAIN_HEAP_OPTIONS } from './bounded-memory.ts';

/** The process's memory as the operating system reports it. */
export interface ProcessMemory {
  readonly rssBytes: number;
  /** The touched pages of heaps, buffers and shared tables; null if the system does not report them. */
  readonly anonymousBytes: number | null;
  /** The pages of files: the program, and the cache's pages, which the kernel can reclaim; null if not reported. */
  readonly fileBytes: number | null;
}

export function processMemory(): ProcessMemory {
  const rssBytes = process.memoryUsage.rss();
  try {
    const status = readFileSync('/proc/self/status', 'latin1');
    const bytesOf = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) * 1024;
    return {
      rssBytes,
      anonymousBytes: bytesOf('RssAnon') + bytesOf('RssShmem'),
      fileBytes: bytesOf('RssFile'),
    };
  } catch {
    return { rssBytes, anonymousBytes: null, fileBytes: null };
  }
}

const MIB = 2 ** 20;

type HeapConfig = Pick<CacheConfig, 'memoryBytes' | 'heaps'>;

/**
 * V8 lets garbage grow to four times the live heap if the heap limit is large, and to half of it if the limit is small. The
 * limit is therefore what a worker needs at most: requests under way, and its memory tier twice. The young generation has
 * the size at which a hit costs least; at 24 MB a hit costs nearly twice as much (`npm run bench`, `hit-memory`). With
 * `heaps: small` the young generation is small.
 */
export function heapLimits({ memoryBytes, heaps }: HeapConfig, workers: number): ResourceLimits {
  return {
    maxOldGenerationSizeMb: 512 + Math.ceil((memoryBytes / workers / MIB) * 2),
    maxYoungGenerationSizeMb: heaps === 'small' ? 12 : 48,
  };
}

/** Must run before the workers start: V8 applies these options to later heaps, and some of them to all heaps. */
export function tuneHeaps({ heaps }: HeapConfig): void {
  // Resets the bound of the main thread, which would otherwise override the workers' own.
  if (process.execArgv.includes(MAIN_HEAP_OPTIONS[0])) setFlagsFromString('--max-semi-space-size=0');
  if (heaps === 'small') setFlagsFromString('--optimize-for-size');
}
