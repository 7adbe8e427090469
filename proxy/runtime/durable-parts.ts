/**
 * Opens the durable parts in their required order: the state, its fence, then the cache on disk, which is checked
 * against both.
 */
import { join } from 'node:path';
import type { Config } from '../../policies/config/config.ts';
import { decideDistrust, type Distrust } from '../../policies/restored-copy.ts';
import { Fence } from '../fence/fence.ts';
import { HighWaterMark } from '../fence/high-water.ts';
import type { Mechanisms } from '../mechanisms.ts';
import type { Log } from '../observability/logger.ts';
import { StoredPlaces } from '../state/file-places.ts';
import type { StateStore } from '../state/state-store.ts';
import { emptyCache, openDiskWriter } from '../store/disk/open.ts';
import type { DiskWriter } from '../store/disk/writer.ts';
import type { Clock } from '../threads/clock.ts';
import type { LifetimeClock } from '../threads/lifetime-clock.ts';
import { rekeyHolds } from '../writes/journal/hold-rows.ts';
import type { ClosingSteps } from './closing-steps.ts';
import { openReadOnlyState, openStateFor } from './state-opening.ts';

export interface DurableParts {
  readonly state: StateStore;
  readonly fence: Fence;
  /** Null if the cache on disk is off. */
  readonly disk: DiskWriter | null;
  /** Writes that wait in the journal may have been delivered already. */
  readonly distrustsWrites: boolean;
  /** Records the location of the files, after every consequence of a restored copy is durable. */
  notePlaces(): Promise<void>;
  /** Makes a read-only state refuse writes. Before, it keeps the writes of a start in memory. */
  seal(): void;
}

export interface DurableDependencies {
  readonly config: Config;
  readonly workers: number;
  readonly clock: Clock;
  readonly lifetimes: LifetimeClock;
  readonly mechanisms: Mechanisms;
  readonly log: Log;
  readonly closing: ClosingSteps;
  /** The operator states that the disk path was restored. */
  readonly isDistrusted: boolean;
  /** The configuration in force. */
  inForce(): Config;
  /** Removes these entries of a key from every worker. */
  dropEntries(key: string, ids: readonly string[]): void;
}

const NOTE_TIME_MS = 1_000;
const WRITES_DISTRUSTED = 'an operator has to retry or discard the waiting writes';
const WHY_DISTRUSTED = {
  asked: 'everything stored is revalidated, as --distrust asks',
  'state-copied': 'the state is a copy, as of a backup: everything stored is revalidated',
  'marker-changed':
    'files of the state were changed from outside (owner, mode, or content): everything stored is revalidated',
  'cache-copied': 'the cache is a copy, as of a backup: everything stored is revalidated',
  'clock-set-back': 'the clock was set back while Weir was down: everything stored is revalidated',
} as const;
/** A read-only state can't reserve sequences later, so one block covers the whole run. */
const UNBOUNDED_BLOCK = 2 ** 50;

export async function openDurableParts(deps: DurableDependencies): Promise<DurableParts> {
  const { config, clock, mechanisms, log, closing } = deps;
  const state = await openStateFor(config, clock, log);
  closing.push(() => state.close());
  const highWater = openHighWater(deps);
  const places = new StoredPlaces(config.cache.disk.path, state);
  const distrust = judgeFiles(deps, places, highWater);
  const fence = await Fence.open(config.fence.records, {
    state,
    clock,
    mechanisms,
    onDurable: (sequence) => highWater?.note(sequence),
    attested: () => attestedFeeds(deps.inForce()),
    onNewKey: (hasher) => rekeyHolds(state, hasher),
    distrust: distrust.kind === 'distrusted',
  });
  const parts = { state, fence, notePlaces: () => places.note(), seal: () => {} };
  const distrustsWrites = distrust.kind === 'distrusted' && distrust.writesToo;
  if (highWater === null) return { ...parts, disk: null, distrustsWrites };
  const isOlder = highWater.found > fence.durableSequence && mechanisms.identity;
  if (isOlder) {
    log.warn(
      { event: 'state-older-than-cache', state: fence.durableSequence, cache: highWater.found },
      'the state is an older copy: nothing in the cache can be trusted, and it is emptied',
    );
    emptyCache(cachePath(config));
    // Writes that were delivered after the copy was taken still wait in its journal.
    log.warn({ event: 'writes-distrusted' }, WRITES_DISTRUSTED);
  }
  highWater.note(fence.durableSequence);
  noteTimes(deps, highWater);
  return { ...parts, disk: await openDisk(deps, state), distrustsWrites: distrustsWrites || isOlder };
}

/** Opens the parts for a read-only disk: Weir serves and invalidates, but reports nothing as durable. */
export async function openReadOnlyParts(deps: DurableDependencies): Promise<DurableParts> {
  const { config, clock, mechanisms, log, closing } = deps;
  const { path } = config.cache.disk;
  log.error(
    { event: 'disk-read-only', path },
    'nothing can be written: the cache on disk is off, and purges and writes are refused',
  );
  const state = await openReadOnlyState(path);
  closing.push(() => state.close());
  const fence = await Fence.open(config.fence.records, {
    state,
    clock,
    mechanisms,
    block: UNBOUNDED_BLOCK,
    attested: () => attestedFeeds(deps.inForce()),
    onNewKey: (hasher) => rekeyHolds(state, hasher),
  });
  const notePlaces = async (): Promise<void> => {};
  return { state, fence, disk: null, distrustsWrites: false, notePlaces, seal: () => state.seal() };
}

export function cachePath(config: Config): string {
  return join(config.cache.disk.path, 'cache');
}

/** Judges whether these are the files of an earlier run, and neither a copy nor newer than the current time. */
function judgeFiles(
  { clock, log, mechanisms, isDistrusted }: DurableDependencies,
  places: StoredPlaces,
  highWater: HighWaterMark | null,
): Distrust {
  if (!mechanisms.restoredCopies) return { kind: 'believed' };
  const distrust = decideDistrust({
    isAsked: isDistrusted,
    written: places.written,
    found: places.found(),
    lastTimeMs: highWater?.foundTimeMs ?? 0,
    nowMs: clock.nowMs(),
  });
  if (distrust.kind === 'distrusted') {
    const { why, writesToo } = distrust;
    log.warn({ event: 'cache-distrusted', why }, WHY_DISTRUSTED[why]);
    if (writesToo) log.warn({ event: 'writes-distrusted' }, WRITES_DISTRUSTED);
  }
  return distrust;
}

/** Null if the cache directory is not writable; the disk tier is then off. */
function openHighWater(deps: DurableDependencies): HighWaterMark | null {
  const { config, closing } = deps;
  try {
    const highWater = new HighWaterMark(join(cachePath(config), 'sequence'));
    closing.push(() => highWater.close());
    return highWater;
  } catch (error) {
    if (config.cache.disk.sizeBytes > 0) logDiskOff(deps, (error as Error).message);
    return null;
  }
}

/** Records the time each second, so that a later start detects a clock that was set back. */
function noteTimes({ lifetimes, log, closing }: DurableDependencies, highWater: HighWaterMark): void {
  let isFailing = false;
  const note = (): void => {
    const error = highWater.noteTime(lifetimes.nowMs());
    // Logs only the first failure: a disk that became read-only fails each second.
    if (error !== null && !isFailing) log.warn({ event: 'clock-not-recorded' }, error.message);
    isFailing = error !== null;
  };
  note();
  const timer = setInterval(note, NOTE_TIME_MS).unref();
  closing.push(() => clearInterval(timer));
}

async function openDisk(deps: DurableDependencies, state: StateStore): Promise<DiskWriter | null> {
  const { config, mechanisms, log, closing } = deps;
  const { sizeBytes, queueBytes } = config.cache.disk;
  if (sizeBytes === 0) return null;
  const opened = await openDiskWriter({
    path: cachePath(config),
    sizeBytes,
    queueBytes,
    workers: deps.workers,
    starts: state.starts,
    mechanisms,
    log: (event) => log.warn({ event: 'disk', ...event }),
    surplus: deps.dropEntries,
  });
  if (opened.kind === 'failed') {
    logDiskOff(deps, opened.reason);
    return null;
  }
  for (const line of opened.report) log.warn({ event: 'disk', report: line });
  if (!opened.trusted) log.warn({ event: 'disk-emptied' }, 'the cache on disk was emptied');
  closing.push(() => opened.writer.close());
  return opened.writer;
}

function logDiskOff({ log }: DurableDependencies, reason: string): void {
  log.error({ event: 'disk-tier-off', reason }, 'the cache on disk is off; serving goes on');
}

/** Feeds whose positions origins report in their responses. */
function attestedFeeds(config: Config): string[] {
  const feeds = config.routes.map(({ cache }) => (cache.versionHeader === null ? null : cache.feed));
  return [...new Set(feeds.filter((feed) => feed !== null))];
}
