import { existsSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Config, OriginConfig } from '../../policies/config/config.ts';
import { tagOfRoute } from '../../policies/tags.ts';
import { startDemoShop, type DemoShop } from '../../origin-adapters/demo/shop.ts';
import { createAdminApp } from '../admin/app.ts';
import { startAdmin, type StartedAdmin } from '../admin/server.ts';
import { openDiskWriter } from '../cache/disk/open.ts';
import type { DiskWriter } from '../cache/disk/writer.ts';
import type { Clock } from '../clock.ts';
import { Fence, NotDurableError } from '../fence/fence.ts';
import { HighWaterMark } from '../fence/high-water.ts';
import { uncacheableBuffer } from '../flights/uncacheable.ts';
import type { Log } from '../log/logger.ts';
import type { Mechanisms } from '../mechanisms.ts';
import { createExposition, type Exposition } from '../metrics/exposition.ts';
import { Totals } from '../metrics/totals.ts';
import { openState, type StateStore } from '../state/state-store.ts';
import { HealthChecks } from '../origins/health-checks.ts';
import { OriginBoard, originBoardSource, type OriginBoardSource } from '../origins/origin-board.ts';
import { Writes } from '../writes/writes.ts';
import type { SiteSource } from './calls.ts';
import { invalidateChangedRoutes } from './configured-digests.ts';
import { connectionBuffer, forgetConnections } from './connection-counter.ts';
import { diskCallsOf } from './disk-calls.ts';
import { lockDiskPath } from './disk-lock.ts';
import { FeedSet } from './feed-set.ts';
import { inspection } from './inspection.ts';
import { WorkerPool, type WorkerPoolOptions } from './worker-pool.ts';

export interface CoordinatorDependencies {
  readonly config: Config;
  readonly clock: Clock;
  readonly mechanisms: Mechanisms;
  readonly log: Log;
  readonly version: string;
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

const MAX_WORKERS = 8;
/** Kept for the state, so that a cache that fills the file system can't starve it. */
const STATE_RESERVE_BYTES = 16 * 2 ** 20;

/** What must be single in the process, opened in order and closed in the reverse of it. */
interface Parts {
  readonly state: StateStore;
  readonly fence: Fence;
  readonly disk: DiskWriter | null;
  readonly highWater: HighWaterMark;
}

/** Runs what must be single: configuration, feeds, the fence's writing, the disk, the admin side, the workers. */
export class Coordinator {
  readonly #deps: CoordinatorDependencies;
  readonly #closing: (() => Promise<unknown> | void)[] = [];
  readonly #totals = new Totals();
  readonly #demos = new Map<string, { readonly delayMs: number; readonly shop: DemoShop }>();
  #config: Config;
  #parts!: Parts;
  #pool!: WorkerPool;
  #writes!: Writes;
  #health: HealthChecks | null = null;
  #boardSource: OriginBoardSource | null = null;
  #exposition!: Exposition;
  #feeds!: FeedSet;
  #isStopping = false;

  private constructor(deps: CoordinatorDependencies) {
    this.#deps = deps;
    this.#config = deps.config;
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
    this.#config = config;
    await this.#feeds.prepare(config, this.#demoUrls());
    const site = this.#newSite(config);
    const invalidatedRoutes = await invalidateChangedRoutes(config, state, fence);
    this.#startWrites(config);
    await this.#pool.reload(site);
    // What was being fetched under the old routes while they were swapped.
    if (invalidatedRoutes.length > 0) {
      await fence.invalidate({ tags: invalidatedRoutes.map(tagOfRoute), mode: 'hard' });
    }
    this.#feeds.start();
    return { kind: 'reloaded', invalidatedRoutes };
  }

  /** Resolves, when everything is closed, with the number of exchanges that were cut. */
  async stop(graceMs: number): Promise<number> {
    this.#isStopping = true;
    const cut = this.#pool === undefined ? 0 : await this.#pool.stop(graceMs);
    for (const close of this.#closing.toReversed()) {
      try {
        await close();
      } catch (error) {
        this.#deps.log.error({ event: 'stop', err: error }, 'a part did not close cleanly');
      }
    }
    return cut;
  }

  async #start(): Promise<{ port: number; adminPort: number }> {
    const { config, log, clock } = this.#deps;
    const { path } = config.cache.disk;
    const lock = lockDiskPath(path);
    if (lock.kind === 'in-use') {
      throw new StartFailure(
        `${path} is in use by another Weir${lock.by === undefined ? '' : ` (pid ${lock.by})`}`,
      );
    }
    if (lock.kind === 'not-writable') throw new StartFailure(`${path} is not writable: ${lock.reason}`);
    this.#closing.push(() => lock.release());
    const port = await freePort(config.listen.host, config.listen.port);
    this.#parts = await this.#openParts(config);
    await this.#startDemos(config);
    const { state, fence, disk } = this.#parts;
    const changed = await invalidateChangedRoutes(config, state, fence);
    if (changed.length > 0)
      log.info({ event: 'routes-changed', routes: changed }, 'their entries are revalidated');
    await this.#openFeeds(config);
    const workers = workersOf(config);
    const connections = connectionBuffer(workers);
    this.#writes = await Writes.open({ config, state, fence, clock, log });
    this.#closing.push(() => this.#writes.close());
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
          fence: fence.buffer,
          uncacheable: uncacheableBuffer(),
          connections,
          diskPath: disk === null ? null : cachePath(config),
        },
        handlersFor: (_index, instance) => {
          const diskCalls = diskCallsOf(disk);
          calls.set(instance, diskCalls);
          return {
            ...diskCalls.calls,
            invalidate: ({ tags }) => fence.invalidate({ tags, mode: 'hard' }),
            deliver: (delivery) => this.#feeds.deliver(delivery),
            ...this.#writes.callsOf(instance),
            recorded: (part) => this.#totals.take(instance, part),
          };
        },
        onDeath: (index, instance, reason) => {
          log.error({ event: 'worker-died', worker: index, reason }, 'a worker died and is replaced');
          forgetConnections(connections, index);
          calls.get(instance)?.forget();
          calls.delete(instance);
          this.#totals.retire(instance);
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
    const inspect = inspection({
      version: this.#deps.version,
      clock,
      fence,
      disk,
      pool: this.#pool,
      connections,
      config: () => this.#config,
      feeds: () => this.#feeds.status(),
      writes: () => this.#writes.office.stats(),
      originBoard: () => new OriginBoard(this.#boardSource!),
      trustOf: (route) => this.#feeds.trustOf(route),
    });
    this.#exposition = createExposition({ totals: this.#totals, stats: inspect.stats });
    const admin = await this.#startAdmin(inspect);
    this.#feeds.start();
    this.#startWrites(config);
    return { port: listening.port, adminPort: admin.port };
  }

  async #openParts(config: Config): Promise<Parts> {
    const { clock, mechanisms, log } = this.#deps;
    const opened = await openState(config.cache.disk.path, STATE_RESERVE_BYTES);
    if (opened.kind === 'failed') throw new StartFailure(`the state can't be opened: ${opened.reason}`);
    const { state } = opened;
    this.#closing.push(() => state.close());
    for (const line of opened.report) log.info({ event: 'state', report: line });
    const highWater = new HighWaterMark(join(config.cache.disk.path, 'sequence'));
    this.#closing.push(() => highWater.close());
    const fence = await Fence.open(config.fence.records, {
      state,
      clock,
      mechanisms,
      onDurable: (sequence) => highWater.note(sequence),
    });
    const isOldCopy = highWater.found > fence.durableSequence;
    if (isOldCopy && mechanisms.identity) {
      log.warn(
        { event: 'state-older-than-cache', state: fence.durableSequence, cache: highWater.found },
        'the state is an older copy: nothing in the cache can be trusted, and it is emptied',
      );
      rmSync(cachePath(config), { recursive: true, force: true });
    }
    highWater.note(fence.durableSequence);
    return { state, fence, highWater, disk: await this.#openDisk(config, state) };
  }

  async #openDisk(config: Config, state: StateStore): Promise<DiskWriter | null> {
    const { sizeBytes } = config.cache.disk;
    if (sizeBytes === 0) return null;
    const { clock, mechanisms, log } = this.#deps;
    const hadCache = existsSync(cachePath(config));
    const opened = await openDiskWriter({
      path: cachePath(config),
      sizeBytes,
      identity: { stateId: state.id, boot: state.boot },
      mechanisms,
      now: () => clock.nowMs(),
      log: (event) => log.warn({ event: 'disk', ...event }),
    });
    if (opened.kind === 'failed') {
      log.error(
        { event: 'disk-level-off', reason: opened.reason },
        'the cache on disk is off; serving goes on',
      );
      return null;
    }
    for (const line of opened.report) log.warn({ event: 'disk', report: line });
    if (!opened.trusted && hadCache) log.warn({ event: 'disk-untrusted' }, 'the cache on disk was emptied');
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

  #newSite(config: Config): SiteSource {
    const feeds = this.#feeds.shared();
    const originBoard = originBoardSource(Object.keys(config.origins), this.#boardSource);
    this.#boardSource = originBoard;
    return { config, demoUrls: this.#demoUrls(), originBoard, feeds, receivers: this.#feeds.receivers() };
  }

  /** Delivers what waits, and asks origins how they are. */
  #startWrites(config: Config): void {
    const { clock, log } = this.#deps;
    const board = new OriginBoard(this.#boardSource!);
    const demoUrls = this.#demoUrls();
    const origins = Object.values(config.origins).map((origin) => withDemoUrl(origin, demoUrls[origin.name]));
    this.#health?.close();
    this.#health = new HealthChecks(origins, { clock, log, board });
    this.#writes.configure(config, origins, board);
  }

  async #startAdmin(inspect: ReturnType<typeof inspection>): Promise<StartedAdmin & { kind: 'listening' }> {
    const { host, port, token } = this.#config.admin;
    const { fence } = this.#parts;
    const app = createAdminApp({
      token,
      log: this.#deps.log,
      config: () => this.#config,
      stats: inspect.stats,
      metrics: () => this.#exposition.text(),
      ready: async () => {
        const reasons = this.#isStopping
          ? ['stopping']
          : this.#pool.isComplete
            ? []
            : ['not all workers listen'];
        return { ready: reasons.length === 0, reasons };
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
      findEntries: inspect.findEntries,
      entries: inspect.entries,
      feeds: () => this.#feeds.status(),
      writes: this.#writes.office,
    });
    const started = await startAdmin({ host, port, app });
    if (started.kind === 'failed')
      throw new StartFailure(cannotListen(host, port, started.code, started.reason));
    this.#closing.push(() => started.close());
    return started;
  }
}

function withDemoUrl(origin: OriginConfig, demoUrl: string | undefined): OriginConfig {
  return { ...origin, urls: origin.urls.map((url) => (url === 'demo:' ? demoUrl! : url)) };
}

class StartFailure extends Error {}

function cachePath(config: Config): string {
  return join(config.cache.disk.path, 'cache');
}

function workersOf(config: Config): number {
  const { workers } = config.listen;
  if (process.platform === 'win32' || process.platform === 'darwin') return 1;
  return workers === 'auto' ? Math.min(MAX_WORKERS, availableParallelism()) : workers;
}

/** Binds the port once without sharing it, so that no second process joins a port that is in use; 0: finds a free one. */
function freePort(host: string, port: number): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(new StartFailure(cannotListen(host, port, error.code ?? '', error.message)));
    });
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address();
      const bound = typeof address === 'object' && address !== null ? address.port : port;
      server.close(() => resolve(bound));
    });
  });
}

function cannotListen(host: string, port: number, code: string, message: string): string {
  if (code === 'EADDRINUSE') return `${host}:${port} is in use by another program`;
  if (code === 'worker') return `a worker can't start: ${message}`;
  if (code === 'EACCES') return `${host}:${port} may not be listened on by this user`;
  return `cannot listen on ${host}:${port}: ${message}`;
}

/** Feeds of the built-in shop where no origin is the shop. */
function strayDemoFeeds(config: Config): string[] {
  if (Object.values(config.origins).some(({ urls }) => urls.includes('demo:'))) return [];
  return Object.values(config.feeds)
    .filter(({ options }) => String(options['url']).startsWith('demo:'))
    .map(({ name }) => `feeds.${name}.url is that of the built-in shop, which no origin is`);
}

/** What workers and files were set up by once. */
function fixedDifferences(before: Config, after: Config): string[] {
  const fixed: [string, (config: Config) => unknown][] = [
    ['listen.host', (config) => config.listen.host],
    ['listen.port', (config) => config.listen.port],
    ['listen.workers', (config) => config.listen.workers],
    ['listen.limits', (config) => config.listen.limits],
    ['listen.tls', (config) => config.listen.tls],
    ['admin', (config) => config.admin],
    ['log', (config) => config.log],
    ['cache', (config) => config.cache],
    ['fence', (config) => config.fence],
    ['flights', (config) => config.flights],
  ];
  return fixed
    .filter(([, value]) => JSON.stringify(value(before)) !== JSON.stringify(value(after)))
    .map(([key]) => `${key} can't change while Weir runs: restart it`);
}
