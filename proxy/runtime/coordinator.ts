import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Config, OriginConfig } from '../../policies/config/config.ts';
import { decideDistrust, type Distrust } from '../../policies/restored-copy.ts';
import { tagOfRoute } from '../../policies/tags.ts';
import { startDemoShop, type DemoShop } from '../../origin-adapters/demo/shop.ts';
import { createAdminApp } from '../admin/app.ts';
import type { AdminRefusal, Control } from '../admin/dependencies.ts';
import { startAdmin, type StartedAdmin } from '../admin/server.ts';
import { emptyCache, openDiskWriter } from '../store/disk/open.ts';
import type { DiskWriter } from '../store/disk/writer.ts';
import type { Clock } from '../threads/clock.ts';
import { Fence, NotDurableError } from '../fence/fence.ts';
import { HighWaterMark } from '../fence/high-water.ts';
import type { TagHashes } from '../fence/tag-hash.ts';
import { writesInFlightBuffer } from '../store/disk/writes-in-flight.ts';
import { hitForMissBuffer } from '../fetch/hit-for-miss.ts';
import type { ExchangesUnderWay } from '../http/listener.ts';
import type { Log } from '../observability/logger.ts';
import { createLifetimeClock, startLifetimes, type LifetimeStart } from '../threads/lifetime-clock.ts';
import type { Mechanisms } from '../mechanisms.ts';
import { createExposition, type Exposition } from './exposition.ts';
import { RouteCounters } from '../observability/route-counters.ts';
import { StoredPlaces } from '../state/file-places.ts';
import type { StateStore } from '../state/state-store.ts';
import { FailureReports } from '../origins/failure-reports.ts';
import { HealthChecks } from '../origins/health-checks.ts';
import { OriginFailures, SUMMARY_MS } from '../origins/origin-failures.ts';
import { OriginCounters } from '../origins/origin-counters.ts';
import { OriginCells, originCellsSource, type OriginCellsSource } from '../origins/origin-cells.ts';
import { rekeyHolds } from '../writes/journal/hold-rows.ts';
import { Writes } from '../writes/writes.ts';
import type { RuntimeConfigurationSource } from './calls.ts';
import { changedRoutes, type ChangedRoutes } from './configured-digests.ts';
import { connectionBuffer, forgetConnections } from './connection-counter.ts';
import { diskCallsOf } from '../store/disk/calls.ts';
import { lockDiskPath } from '../state/disk-lock.ts';
import { FeedSet } from './feed-set.ts';
import { fixedDifferences, strayDemoFeeds } from './fixed-config.ts';
import { adminQueries } from './admin-queries.ts';
import { CAN_SHARE, cannotListen, StartFailure, takePort } from './main-port.ts';
import { problemsOf, STOPPED_AT_MOST } from './problems.ts';
import { openReadOnlyState, openStateFor } from './state-opening.ts';
import type { WaitsFor } from '../admin/waits-for.ts';
import { WorkerPool, type WorkerPoolOptions } from './worker-pool.ts';

export interface CoordinatorDependencies {
  readonly config: Config;
  readonly clock: Clock;
  readonly mechanisms: Mechanisms;
  readonly log: Log;
  readonly version: string;
  /** An operator says that the disk path was restored: nothing of it is believed until it is confirmed. */
  readonly distrust?: boolean;
  /** How operators reload and stop it; absent: the program that embeds it does. */
  readonly control?: Control;
  /** How worker threads are started, where a test wants to hold them. */
  readonly newWorker?: WorkerPoolOptions['newWorker'];
}

export type CoordinatorStart =
  | {
      readonly kind: 'running';
      readonly coordinator: Coordinator;
      readonly port: number;
      readonly adminPort: number;
    }
  /** One line for an operator. */
  | { readonly kind: 'failed'; readonly reason: string };

export type ReloadResult =
  | { readonly kind: 'reloaded'; readonly invalidatedRoutes: readonly string[] }
  /** What can't change while it runs; nothing was changed. */
  | { readonly kind: 'refused'; readonly reasons: readonly string[] };

const NOTE_TIME_MS = 1_000;
const WRITES_DISTRUSTED = 'writes that wait are for an operator to decide';
const WHY_DISTRUSTED = {
  asked: 'everything stored is revalidated, as --distrust asks',
  'state-copied': 'the state is a copy, as of a backup: everything stored is revalidated',
  'marker-changed':
    'files of the state were changed from outside (owner, mode, or content): everything stored is revalidated',
  'cache-copied': 'the cache is a copy, as of a backup: everything stored is revalidated',
  'clock-set-back': 'the clock was set back while Weir was down: everything stored is revalidated',
} as const;
const MAX_WORKERS = 8;
/** Where sequences are not kept they can't be handed out twice, and no more can be reserved. */
const UNBOUNDED_BLOCK = 2 ** 50;

const NOTHING_UNDER_WAY: ExchangesUnderWay = { requests: 0, eventStreams: 0, tunnels: 0 };

/** What must be single in the process, opened in order and closed in the reverse of it. */
interface Parts {
  readonly state: StateStore;
  readonly fence: Fence;
  readonly disk: DiskWriter | null;
}

/** Runs what must be single: configuration, feeds, the fence's writing, the disk, the admin side, the workers. */
export class Coordinator {
  readonly #deps: CoordinatorDependencies;
  readonly #closing: (() => Promise<unknown> | void)[] = [];
  readonly #routeCounters = new RouteCounters();
  readonly #demos = new Map<string, { readonly delayMs: number; readonly shop: DemoShop }>();
  #config: Config;
  #parts!: Parts;
  #pool!: WorkerPool;
  #writes!: Writes;
  #health: HealthChecks | null = null;
  #boardSource: OriginCellsSource | null = null;
  readonly #asked = new OriginCounters();
  readonly #originFailures: OriginFailures;
  /** Of what the coordinator itself asks. */
  readonly #reports: FailureReports;
  #exposition!: Exposition;
  #feeds!: FeedSet;
  readonly #adminRefused: Record<AdminRefusal, number> = {
    'foreign-host': 0,
    'foreign-page': 0,
    'not-json': 0,
    token: 0,
  };
  #isStopping = false;
  /** Once it stops, as far as it is known. */
  #waitsFor: WaitsFor | null = null;
  /** The disk path's file system can only be read. */
  #isReadOnly = false;
  #lifetimes!: LifetimeStart;
  #distrust: Distrust = { kind: 'believed' };
  #places: StoredPlaces | null = null;
  /** Ends what a start may note without having it written. */
  #seal = (): void => {};

  private constructor(deps: CoordinatorDependencies) {
    this.#deps = deps;
    this.#config = deps.config;
    this.#reports = new FailureReports(deps.clock, (reports) => this.#originFailures.take(reports));
    this.#originFailures = new OriginFailures({
      clock: deps.clock,
      log: deps.log,
      board: () => new OriginCells(this.#boardSource!),
      urlsOf: (origin) => this.#config.origins[origin]?.urls ?? [],
    });
  }

  static async start(deps: CoordinatorDependencies): Promise<CoordinatorStart> {
    const coordinator = new Coordinator(deps);
    try {
      const { port, adminPort } = await coordinator.#start();
      return { kind: 'running', coordinator, port, adminPort };
    } catch (error) {
      await coordinator.stop(0);
      if (error instanceof StartFailure) return { kind: 'failed', reason: error.message };
      throw error;
    }
  }

  get config(): Config {
    return this.#config;
  }

  /** Checks what can't change, then swaps everything else. Nothing under way is dropped. */
  async reload(config: Config): Promise<ReloadResult> {
    const reasons = [...fixedDifferences(this.#config, config), ...strayDemoFeeds(config)];
    if (reasons.length > 0) return { kind: 'refused', reasons };
    const { state, fence } = this.#parts;
    await this.#startDemos(config);
    const changed = changedRoutes(config, state);
    const held = fence.hasher.hash(changed.withNew.map(tagOfRoute));
    try {
      // While some threads have the old routes and some the new, neither's invalidations reach all that is stored.
      await fence.hold(held, () => {});
    } catch (error) {
      if (error instanceof NotDurableError) return { kind: 'refused', reasons: [error.message] };
      throw error;
    }
    try {
      await this.#swap(config);
    } finally {
      await this.#release(held, changed);
    }
    this.#feeds.start();
    return { kind: 'reloaded', invalidatedRoutes: changed.names };
  }

  /**
   * Resolves, when everything is closed, with the number of exchanges that were cut. Calls `onWaiting` with what it waits
   * for as it begins, and every few seconds.
   */
  async stop(graceMs: number, onWaiting: (waitsFor: WaitsFor) => void = () => {}): Promise<number> {
    this.#isStopping = true;
    this.#writes?.endWaiting();
    const streamsMs = Math.min(graceMs, this.#config.listen.stopStreamsMs);
    const tell = (underWay: ExchangesUnderWay): void => {
      const { waiting, delivering } = this.#writes.admin.stats();
      this.#waitsFor = { ...underWay, waitingWrites: waiting, deliveries: delivering };
      onWaiting(this.#waitsFor);
    };
    let cut = 0;
    if (this.#pool !== undefined) {
      cut = await this.#pool.stop({ graceMs, streamsMs }, tell);
      if (this.#writes.admin.stats().delivering > 0) tell(NOTHING_UNDER_WAY);
    }
    for (const close of this.#closing.toReversed()) {
      try {
        await close();
      } catch (error) {
        this.#deps.log.error({ event: 'stop', err: error }, 'a part did not close cleanly');
      }
    }
    return cut;
  }

  async #swap(config: Config): Promise<void> {
    this.#config = config;
    await this.#feeds.prepare(config, this.#demoUrls());
    const site = this.#newSite(config);
    this.#startWrites(config);
    await this.#pool.reload(site);
  }

  /** What is stored of changed routes is invalid, and will be at the next start where that can't be written down. */
  async #release(held: TagHashes, changed: ChangedRoutes): Promise<void> {
    const { fence } = this.#parts;
    try {
      await fence.release(held, [], changed.note);
    } catch (error) {
      fence.drop(held);
      if (!(error instanceof NotDurableError)) throw error;
      this.#deps.log.error({ event: 'reload-not-durable', err: error }, 'the new routes could not be noted');
    }
  }

  async #start(): Promise<{ port: number; adminPort: number }> {
    const { config, log, clock } = this.#deps;
    const { path } = config.cache.disk;
    this.#lifetimes = startLifetimes(clock);
    const lock = lockDiskPath(path);
    if (lock.kind === 'in-use') {
      throw new StartFailure(
        `${path} is in use by another Weir${lock.by === undefined ? '' : ` (pid ${lock.by})`}`,
      );
    }
    if (lock.kind === 'not-writable') throw new StartFailure(`${path} is not writable: ${lock.reason}`);
    if (lock.kind === 'locked') this.#closing.push(() => lock.release());
    this.#isReadOnly = lock.kind === 'read-only';
    const { port, isHeld, release } = await takePort(config.listen.host, config.listen.port);
    this.#closing.push(release);
    this.#parts = await this.#openParts(config);
    await this.#startDemos(config);
    const { state, fence, disk } = this.#parts;
    const changed = changedRoutes(config, state);
    if (changed.isAny)
      await fence.invalidate({ tags: changed.names.map(tagOfRoute), mode: 'hard', also: changed.note });
    if (changed.names.length > 0)
      log.info({ event: 'routes-changed', routes: changed.names }, 'their entries are revalidated');
    await this.#openFeeds(config);
    const workers = workersOf(config);
    const connections = connectionBuffer(workers);
    this.#writes = await Writes.open({ config, state, fence, clock, log, asked: this.#asked, workers });
    this.#closing.push(() => this.#writes.close());
    if (this.#distrust.kind === 'distrusted' && this.#distrust.writesToo)
      await this.#writes.distrustWaiting();
    await this.#places?.note();
    const site = this.#newSite(config);
    this.#closing.push(() => this.#health?.close());
    const calls = new Map<number, ReturnType<typeof diskCallsOf>>();
    this.#pool = new WorkerPool(
      {
        workers,
        clock,
        newWorker: this.#deps.newWorker,
        shared: {
          boot: state.boot,
          workers,
          sharesPort: workers > 1 || isHeld,
          fence: fence.buffer,
          hitForMiss: hitForMissBuffer(),
          writesInFlight: writesInFlightBuffer(),
          connections,
          lifetimes: this.#lifetimes,
          diskPath: disk === null ? null : cachePath(config),
        },
        handlersFor: (_index, instance) => {
          const diskCalls = diskCallsOf(disk, (key, id) => this.#pool.dropEntries(key, [id]));
          calls.set(instance, diskCalls);
          return {
            ...diskCalls.calls,
            invalidate: ({ tags, entry }) => fence.invalidate({ tags, mode: 'hard', entry }),
            invalidateBut: ({ tag, ...entry }) => fence.invalidateBut(tag, entry),
            deliver: (delivery) => this.#feeds.deliver(delivery),
            ...this.#writes.callsOf(instance),
            recorded: (part) => this.#routeCounters.take(instance, part),
            originReports: (reports) => this.#originFailures.take(reports),
          };
        },
        onDeath: (index, instance, reason) => {
          log.error({ event: 'worker-died', worker: index, reason }, 'a worker died and is replaced');
          forgetConnections(connections, index);
          calls.get(instance)?.forget();
          calls.delete(instance);
          this.#routeCounters.retire(instance);
          this.#writes.workerDied(instance);
        },
        onFailed: (index, call, error) =>
          log.error(
            { event: 'call-failed', worker: index, call, err: error },
            'what a worker told was not done',
          ),
      },
      site,
      port,
    );
    const listening = await this.#pool.start();
    if (listening.kind === 'failed') {
      throw new StartFailure(cannotListen(config.listen.host, port, listening.code, listening.message));
    }
    release();
    const inspect = adminQueries({
      version: this.#deps.version,
      clock: createLifetimeClock(clock, this.#lifetimes),
      fence,
      disk,
      pool: this.#pool,
      connections,
      config: () => this.#config,
      feeds: () => this.#feeds.status(),
      writes: () => this.#writes.admin.stats(),
      adminRefused: () => this.#adminRefused,
      asked: this.#asked,
      originCells: () => new OriginCells(this.#boardSource!),
      trustOf: (route) => this.#feeds.trustOf(route),
    });
    this.#exposition = createExposition({ counters: this.#routeCounters, stats: inspect.stats });
    const admin = await this.#startAdmin(inspect);
    this.#seal();
    const summary = setInterval(() => this.#originFailures.summarise(), SUMMARY_MS);
    this.#closing.push(() => clearInterval(summary));
    this.#feeds.start();
    this.#startWrites(config);
    return { port: listening.port, adminPort: admin.port };
  }

  async #openParts(config: Config): Promise<Parts> {
    if (this.#isReadOnly) return await this.#openReadOnly(config);
    const { clock, mechanisms, log } = this.#deps;
    const state = await openStateFor(config, clock, log);
    this.#closing.push(() => state.close());
    const highWater = this.#openHighWater(config);
    this.#distrust = this.#judgeFiles(config, state, highWater);
    const fence = await Fence.open(config.fence.records, {
      state,
      clock,
      mechanisms,
      onDurable: (sequence) => highWater?.note(sequence),
      attested: () => attestedFeeds(this.#config),
      onNewKey: (hasher) => rekeyHolds(state, hasher),
      distrust: this.#distrust.kind === 'distrusted',
    });
    if (highWater === null) return { state, fence, disk: null };
    if (highWater.found > fence.durableSequence && mechanisms.identity) {
      log.warn(
        { event: 'state-older-than-cache', state: fence.durableSequence, cache: highWater.found },
        'the state is an older copy: nothing in the cache can be trusted, and it is emptied',
      );
      emptyCache(cachePath(config));
      // What was delivered since the copy was taken waits in it still.
      this.#distrust = { kind: 'distrusted', why: 'state-copied', writesToo: true };
      log.warn({ event: 'writes-distrusted' }, WRITES_DISTRUSTED);
    }
    highWater.note(fence.durableSequence);
    this.#noteTimes(highWater);
    return { state, fence, disk: await this.#openDisk(config, state) };
  }

  /** Serving goes on, and invalidations are in force; nothing is claimed to be durable. */
  async #openReadOnly(config: Config): Promise<Parts> {
    const { clock, mechanisms, log } = this.#deps;
    const { path } = config.cache.disk;
    log.error(
      { event: 'disk-read-only', path },
      'nothing can be written: the cache on disk is off, and purges and writes are refused',
    );
    const state = await openReadOnlyState(path);
    this.#closing.push(() => state.close());
    const fence = await Fence.open(config.fence.records, {
      state,
      clock,
      mechanisms,
      block: UNBOUNDED_BLOCK,
      attested: () => attestedFeeds(this.#config),
      onNewKey: (hasher) => rekeyHolds(state, hasher),
    });
    this.#seal = () => state.seal();
    return { state, fence, disk: null };
  }

  /** Whether this is what an earlier run has left, and not a copy of it or from after the clock's present time. */
  #judgeFiles(config: Config, state: StateStore, highWater: HighWaterMark | null): Distrust {
    const { clock, log, mechanisms, distrust: isAsked = false } = this.#deps;
    this.#places = new StoredPlaces(config.cache.disk.path, state);
    if (!mechanisms.restoredCopies) return { kind: 'believed' };
    const { written } = this.#places;
    const lastTimeMs = highWater?.foundTimeMs ?? 0;
    const found = this.#places.found();
    const distrust = decideDistrust({ isAsked, written, found, lastTimeMs, nowMs: clock.nowMs() });
    if (distrust.kind === 'distrusted') {
      const { why, writesToo } = distrust;
      log.warn({ event: 'distrusted', why }, WHY_DISTRUSTED[why]);
      if (writesToo) log.warn({ event: 'writes-distrusted' }, WRITES_DISTRUSTED);
    }
    return distrust;
  }

  /** Notes each second how late it is, for a start whose clock is set back. */
  #noteTimes(highWater: HighWaterMark): void {
    const times = createLifetimeClock(this.#deps.clock, this.#lifetimes);
    let isFailing = false;
    const note = (): void => {
      const error = highWater.noteTime(times.nowMs());
      // A disk that has become read-only fails each second.
      if (error !== null && !isFailing) this.#deps.log.warn({ event: 'time-not-noted' }, error.message);
      isFailing = error !== null;
    };
    note();
    const timer = setInterval(note, NOTE_TIME_MS).unref();
    this.#closing.push(() => clearInterval(timer));
  }

  /** null: the cache's folder can't be written, and so the cache is off. */
  #openHighWater(config: Config): HighWaterMark | null {
    try {
      const highWater = new HighWaterMark(join(cachePath(config), 'sequence'));
      this.#closing.push(() => highWater.close());
      return highWater;
    } catch (error) {
      if (config.cache.disk.sizeBytes > 0) this.#diskIsOff((error as Error).message);
      return null;
    }
  }

  #diskIsOff(reason: string): void {
    this.#deps.log.error({ event: 'disk-level-off', reason }, 'the cache on disk is off; serving goes on');
  }

  async #openDisk(config: Config, state: StateStore): Promise<DiskWriter | null> {
    const { sizeBytes, queueBytes } = config.cache.disk;
    if (sizeBytes === 0) return null;
    const { clock, mechanisms, log } = this.#deps;
    const zeroMs = clock.nowMs() - clock.monotonicMs();
    const opened = await openDiskWriter({
      path: cachePath(config),
      sizeBytes,
      queueBytes,
      starts: state.starts,
      mechanisms,
      now: () => zeroMs + clock.monotonicMs(),
      log: (event) => log.warn({ event: 'disk', ...event }),
      surplus: (key, ids) => this.#pool.dropEntries(key, ids),
    });
    if (opened.kind === 'failed') {
      this.#diskIsOff(opened.reason);
      return null;
    }
    for (const line of opened.report) log.warn({ event: 'disk', report: line });
    if (!opened.trusted) log.warn({ event: 'disk-untrusted' }, 'the cache on disk was emptied');
    this.#closing.push(() => opened.writer.close());
    return opened.writer;
  }

  async #startDemos(config: Config): Promise<void> {
    for (const origin of Object.values(config.origins)) {
      if (!origin.urls.includes('demo:') || this.#demos.has(origin.name)) continue;
      const shop = await startDemoShop({ port: 0, delayMs: origin.demo.delayMs });
      this.#demos.set(origin.name, { delayMs: origin.demo.delayMs, shop });
      this.#closing.push(() => shop.close());
    }
  }

  async #openFeeds(config: Config): Promise<void> {
    const [stray] = strayDemoFeeds(config);
    if (stray !== undefined) throw new StartFailure(stray);
    const { fence, state } = this.#parts;
    const { clock, log } = this.#deps;
    this.#feeds = new FeedSet({ fence, state, clock, log, config: () => this.#config });
    this.#closing.push(() => this.#feeds.stop());
    await this.#feeds.prepare(config, this.#demoUrls());
  }

  #demoUrls(): Record<string, string> {
    return Object.fromEntries([...this.#demos].map(([name, { shop }]) => [name, shop.url]));
  }

  #newSite(config: Config): RuntimeConfigurationSource {
    const feeds = this.#feeds.shared();
    const originCells = originCellsSource(Object.keys(config.origins), this.#boardSource);
    this.#boardSource = originCells;
    return { config, demoUrls: this.#demoUrls(), originCells, feeds, receivers: this.#feeds.receivers() };
  }

  /** Delivers what waits, and asks origins how they are. */
  #startWrites(config: Config): void {
    const { clock, log } = this.#deps;
    const board = new OriginCells(this.#boardSource!);
    const demoUrls = this.#demoUrls();
    const origins = Object.values(config.origins).map((origin) => withDemoUrl(origin, demoUrls[origin.name]));
    this.#health?.close();
    this.#health = new HealthChecks(origins, { clock, log, board, asked: this.#asked });
    this.#writes.configure(config, origins, board, (name) => this.#reports.observerOf(name, board));
  }

  async #startAdmin(inspect: ReturnType<typeof adminQueries>): Promise<StartedAdmin & { kind: 'listening' }> {
    const { host, port, token, limits } = this.#config.admin;
    const { fence } = this.#parts;
    const app = createAdminApp({
      token,
      log: this.#deps.log,
      onRefused: (reason) => {
        this.#adminRefused[reason] += 1;
      },
      config: () => this.#config,
      stats: inspect.stats,
      metrics: () => this.#exposition.text(),
      ready: async () => {
        const reasons = this.#isStopping
          ? ['stopping']
          : this.#pool.isComplete
            ? []
            : ['not all workers listen'];
        const readiness = { ready: reasons.length === 0, reasons };
        return this.#waitsFor === null ? readiness : { ...readiness, waitsFor: this.#waitsFor };
      },
      invalidate: async (tags, mode) => {
        try {
          const { sequence } = await fence.invalidate({ tags, mode });
          return { kind: 'done', sequence };
        } catch (error) {
          if (error instanceof NotDurableError) return { kind: 'not-durable', detail: error.message };
          throw error;
        }
      },
      problems: () =>
        problemsOf({
          config: this.#config,
          fence: { isFailing: this.#isReadOnly || fence.isFailing },
          disk: this.#parts.disk,
          board: new OriginCells(this.#boardSource!),
          originFailures: this.#originFailures.problems(),
          stopped: this.#writes.admin.stopped(STOPPED_AT_MOST),
        }),
      findEntries: inspect.findEntries,
      entries: inspect.entries,
      feeds: () => this.#feeds.status(),
      writes: this.#writes.admin,
      control: this.#deps.control ?? null,
    });
    const started = await startAdmin({ host, port, app, limits });
    if (started.kind === 'failed')
      throw new StartFailure(cannotListen(host, port, started.code, started.reason));
    this.#closing.push(() => started.close());
    return started;
  }
}

function withDemoUrl(origin: OriginConfig, demoUrl: string | undefined): OriginConfig {
  return { ...origin, urls: origin.urls.map((url) => (url === 'demo:' ? demoUrl! : url)) };
}

/** Those by whose positions answers say how current they are. */
function attestedFeeds(config: Config): string[] {
  const feeds = config.routes.map(({ cache }) => (cache.versionHeader === null ? null : cache.feed));
  return [...new Set(feeds.filter((feed) => feed !== null))];
}

function cachePath(config: Config): string {
  return join(config.cache.disk.path, 'cache');
}

function workersOf(config: Config): number {
  const { workers } = config.listen;
  if (!CAN_SHARE) return 1;
  return workers === 'auto' ? Math.min(MAX_WORKERS, availableParallelism()) : workers;
}
