import type { FeedClock, FeedDeps, FeedLog, LoadedLibrary } from '../../origin-adapters/feeds/feed.ts';
import type { Clock } from '../threads/clock.ts';

/** The services that the process provides to feeds. */
export function feedDeps(clock: Clock, log: FeedLog): FeedDeps {
  return { clock: feedClock(clock), log, loadLibrary };
}

export function feedClock(clock: Clock): FeedClock {
  return {
    nowMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs(),
    schedule: (delayMs, callback) => {
      const timer = setTimeout(callback, delayMs);
      timer.unref();
      return () => clearTimeout(timer);
    },
  };
}

/** Loads a client library. These are optional dependencies; a missing one is reported as a failure with its cure. */
export async function loadLibrary<T>(name: string, load: () => Promise<T>): Promise<LoadedLibrary<T>> {
  try {
    return { kind: 'loaded', library: await load() };
  } catch (cause) {
    const isMissing = cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND';
    const message = isMissing
      ? `this feed needs the package ${name}: npm install ${name}`
      : `the package ${name} can't be loaded: ${cause instanceof Error ? cause.message : String(cause)}`;
    return { kind: 'failed', failure: { kind: 'library', retry: 'never', message, cause } };
  }
}
