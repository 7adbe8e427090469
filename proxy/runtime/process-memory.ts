import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import type { ResourceLimits } from 'node:worker_threads';
import type { CacheConfig } from '../../policies/config/config.ts';
import { MAIN_HEAP_OPTIONS } from './bounded-memory.ts';

/** What the operating system counts as the process's memory. */
export interface ProcessMemory {
  readonly rssBytes: number;
  /** Heaps, buffers and shared tables as far as they were touched; null where the system does not tell. */
  readonly anonymousBytes: number | null;
  /** Of files: the program, and the cache's pages, which the kernel drops when it needs room; null likewise. */
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
 * V8 lets garbage grow to four times of what lives where a heap may become large, and to half of it where it may not. So a
 * worker's may become as large as it can need at most: requests under way, and its memory tier twice. The young generation
 * is kept at the size where a hit costs least: at 24 MB it costs nearly twice as much (`npm run bench`, `hit-memory`). With
 * `heaps: small` it is small.
 */
export function heapLimits({ memoryBytes, heaps }: HeapConfig, workers: number): ResourceLimits {
  return {
    maxOldGenerationSizeMb: 512 + Math.ceil((memoryBytes / workers / MIB) * 2),
    maxYoungGenerationSizeMb: heaps === 'small' ? 12 : 48,
  };
}

/** Before the workers start: V8 takes these options for every heap that is made later, and some for all. */
export function tuneHeaps({ heaps }: HeapConfig): void {
  // The main thread's own bound, which workers would get in place of theirs.
  if (process.execArgv.includes(MAIN_HEAP_OPTIONS[0])) setFlagsFromString('--max-semi-space-size=0');
  if (heaps === 'small') setFlagsFromString('--optimize-for-size');
}
