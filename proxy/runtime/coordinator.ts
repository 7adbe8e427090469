import { availableParallelism } from 'node:os';
import type { Config } from '../../policies/config/config.ts';
import { tagOfRoute } from '../../policies/tags.ts';
import type { Control, Readiness } from '../admin/dependencies.ts';
import type { WaitsFor } from '../admin/waits-for.ts';
import { NotDurableError } from '../fence/fence-state.ts';
import { flightClaimsBuffer, forgetFlightClaims } from '../fetch/flight-claims.ts';
import { hitForMissBuffer } from '../fetch/hit-for-miss.ts';
import type { ExchangesUnderWay } from '../http/listener.ts';
import type { Mechanisms } from '../mechanisms.ts';
import type { Log } from '../observability/logger.ts';
import { RouteCounters } from '../observability/route-counters.ts';
import { lockDiskPath } from '../state/disk-lock.ts';
import { diskCallsOf } from '../store/disk/calls.ts';
import { EntryOutcomes } from '../store/disk/outcomes.ts';
import { writesInFlightBuffer } from '../store/disk/writes-in-flight.ts';
import type { Clock } from '../threads/clock.ts';
import { createLifetimeClock, startLifetimes, type LifetimeStart } from '../threads/lifetime-clock.ts';
import { Writes } from '../writes/writes.ts';
import { startAdminSide, type AdminSide } from './admin-side.ts';
import type { RuntimeConfigurationSource } from './calls.ts';
import { ClosingSteps } from './closing-steps.ts';
import { changedRoutes } from './configured-digests.ts';
import { connectionBuffer, forgetConnections } from './connection-counter.ts';
import { DemoShops } from './demo-shops.ts';
import { cachePath, openDurableParts, openReadOnlyParts, type DurableParts } from './durable-parts.ts';
import { FeedSet } from './feed-set.ts';
import { fixedDifferences, strayDemoFeeds } from './fixed-config.ts';
import { CAN_SHARE, cannotListen, StartFailure, takePort, type MainPort } from './main-port.ts';
import { OriginWatch } from './origin-watch.ts';
import { swapUnderHold, type ReloadResult } from './reload.ts';
import { WorkerPool, type WorkerPoolOptions } from './worker-pool.ts';

export interface CoordinatorDependencies {
  readonly config: Config;
  readonly clock: Clock;
  readonly mechanisms: Mechanisms;
  readonly log: Log;
  readonly version: string;
  /** The operator states that the disk path was restored, so its contents are not trusted until they are validated. */
  readonly distrust?: boolean;
  /** Reload and stop for operators; absent if an embedding program controls them. */
  readonly control?: Control;
  /** Creates worker threads; tests use it to delay them. */
  readonly newWorker?: WorkerPoolOptions['newWorker'];
}

export type CoordinatorStart =
  | {
      readonly kind: 'running';
      readonly coordinator: Coordinator;
      readonly port: number;
      readonly adminPort: number;
    }
  /** `reason` is one line for an operator. */
  | { readonly kind: 'failed'; readonly reason: string };

const MAX_WORKERS = 8;
const NOTHING_UNDER_WAY: ExchangesUnderWay = { requests: 0, eventStreams: 0, tunnels: 0 };

/** Owns what the process has once: configuration, feeds, the fence's writer, the disk, the admin side, the workers. */
export class Coordinator {
  readonly #deps: CoordinatorDependencies;
  readonly #closing: ClosingSteps;
  readonly #routeCounters = new RouteCounters();
  readonly #shops = new DemoShops();
  readonly #origins: OriginWatch;
  readonly #lifetimes: LifetimeStart;
  #config: Config;
  #durable!: DurableParts;
  #feeds!: FeedSet;
  #writes!: Writes;
  #pool!: WorkerPool;
  #isStopping = false;
  /** Null until the coordinator stops. */
  #waitsFor: WaitsFor | null = null;

  private constructor(deps: CoordinatorDependencies) {
    const { clock, config, log } = deps;
    this.#deps = deps;
    this.#config = config;
    this.#closing = new ClosingSteps(log);
    this.#origins = new OriginWatch({ clock, log, inForce: () => this.#config });
    this.#lifetimes = startLifetimes(clock);
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

  /** Refuses changes of fixed settings, then swaps everything else. Exchanges under way go on. */
  async reload(config: Config): Promise<ReloadResult> {
    const reasons = [...fixedDifferences(this.#config, config), ...strayDemoFeeds(config)];
    if (reasons.length > 0) return { kind: 'refused', reasons };
    const { state, fence } = this.#durable;
    await this.#shops.start(config);
    const swap = (next: Config): Promise<void> => this.#swap(next);
    const result = await swapUnderHold(config, { state, fence, log: this.#deps.log, swap });
    if (result.kind === 'reloaded') this.#feeds.start();
    return result;
  }

  /**
   * Resolves, when everything is closed, with the number of exchanges that were cut. Calls `onWaiting` with what the stop
   * waits for, at once and every few seconds.
   */
  async stop(graceMs: number, onWaiting: (waitsFor: WaitsFor) => void = () => {}): Promise<number> {
    this.#isStopping = true;
    this.#writes?.endWaiting();
    const streamsMs = Math.min(graceMs, this.#config.listen.stopStreamsMs);
    const show = (underWay: ExchangesUnderWay): void => {
      const { waiting, delivering } = this.#writes.admin.stats();
      this.#waitsFor = { ...underWay, waitingWrites: waiting, deliveries: delivering };
      onWaiting(this.#waitsFor);
    };
    let cut = 0;
    if (this.#pool !== undefined) {
      cut = await this.#pool.stop({ graceMs, streamsMs }, show);
      if (this.#writes.admin.stats().delivering > 0) show(NOTHING_UNDER_WAY);
    }
    await this.#closing.closeAll();
    return cut;
  }

  /**
   * The order matters: each step uses earlier ones. They are closed in reverse order, except for the workers, which
   * stop before everything else.
   */
  async #start(): Promise<{ port: number; adminPort: number }> {
    const { config } = this.#deps;
    const isReadOnly = this.#lockDisk(config);
    const mainPort = await takePort(config.listen.host, config.listen.port);
    this.#closing.push(mainPort.release);
    this.#durable = await this.#openDurable(config, isReadOnly);
    this.#closing.push(() => this.#shops.close());
    await this.#shops.start(config);
    await this.#invalidateChangedRoutes(config);
    await this.#openFeeds(config);
    await this.#openWrites(config);
    this.#closing.push(() => this.#origins.close());
    const connections = connectionBuffer(workersOf(config));
    const port = await this.#startWorkers(config, mainPort, connections);
    const admin = await this.#startAdmin(connections, isReadOnly);
    this.#durable.seal();
    this.#feeds.start();
    this.#startDeliveries(config);
    return { port, adminPort: admin.port };
  }

  /** Locks the disk path. Returns whether its file system is read-only. */
  #lockDisk({ cache }: Config): boolean {
    const { path } = cache.disk;
    const lock = lockDiskPath(path);
    switch (lock.kind) {
      case 'in-use': {
        const by = lock.by === undefined ? '' : ` (pid ${lock.by})`;
        throw new StartFailure(`${path} is in use by another Weir${by}`);
      }
      case 'not-writable':
        throw new StartFailure(`${path} is not writable: ${lock.reason}`);
      case 'locked':
        this.#closing.push(() => lock.release());
        return false;
      case 'read-only':
        return true;
      default:
        return lock satisfies never;
    }
  }

  #openDurable(config: Config, isReadOnly: boolean): Promise<DurableParts> {
    const { clock, mechanisms, log, distrust = false } = this.#deps;
    const open = isReadOnly ? openReadOnlyParts : openDurableParts;
    return open({
      config,
      workers: workersOf(config),
      clock,
      lifetimes: createLifetimeClock(clock, this.#lifetimes),
      mechanisms,
      log,
      closing: this.#closing,
      isDistrusted: distrust,
      inForce: () => this.#config,
      dropEntries: (key, ids) => this.#pool.dropEntries(key, ids),
    });
  }

  /** Invalidates entries that earlier runs stored under other route configurations. */
  async #invalidateChangedRoutes(config: Config): Promise<void> {
    const { state, fence } = this.#durable;
    const { isAny, names, note } = changedRoutes(config, state);
    if (isAny) await fence.invalidate({ tags: names.map(tagOfRoute), mode: 'hard', also: note });
    if (names.length > 0)
      this.#deps.log.info(
        { event: 'routes-changed', routes: names },
        'the entries of changed routes are revalidated',
      );
  }

  async #openFeeds(config: Config): Promise<void> {
    const [stray] = strayDemoFeeds(config);
    if (stray !== undefined) throw new StartFailure(stray);
    const { fence, state } = this.#durable;
    const { clock, log } = this.#deps;
    this.#feeds = new FeedSet({ fence, state, clock, log, config: () => this.#config });
    this.#closing.push(() => this.#feeds.stop());
    await this.#feeds.prepare(config, this.#shops.urls());
  }

  async #openWrites(config: Config): Promise<void> {
    const { clock, log } = this.#deps;
    const { state, fence, distrustsWrites, notePlaces } = this.#durable;
    const { asked } = this.#origins;
    this.#writes = await Writes.open({
      config,
      state,
      fence,
      clock,
      log,
      originCounters: asked,
      workers: workersOf(config),
    });
    this.#closing.push(() => this.#writes.close());
    if (distrustsWrites) await this.#writes.distrustWaiting();
    await notePlaces();
  }

  /** Resolves with the port that all workers listen on. */
  async #startWorkers(config: Config, mainPort: MainPort, connections: SharedArrayBuffer): Promise<number> {
    const { clock, log, newWorker } = this.#deps;
    const { state, fence, disk } = this.#durable;
    const workers = workersOf(config);
    const calls = new Map<number, ReturnType<typeof diskCallsOf>>();
    const flightClaims = flightClaimsBuffer();
    const senders = new Map<number, EntryOutcomes>();
    const arrivals = (): Promise<unknown> | null => {
      const open = [...senders.values()].flatMap((each) => each.arrived() ?? []);
      return open.length === 0 ? null : Promise.all(open);
    };
    const options: WorkerPoolOptions = {
      workers,
      clock,
      newWorker,
      shared: {
        boot: state.boot,
        workers,
        sharesPort: workers > 1 || mainPort.isHeld,
        fence: fence.buffer,
        hitForMiss: hitForMissBuffer(),
        writesInFlight: writesInFlightBuffer(),
        flightClaims,
        connections,
        lifetimes: this.#lifetimes,
        disk: disk === null ? null : { path: cachePath(config), shared: disk.shared },
      },
      handlersFor: (index, instance) => {
        const outcomes = disk === null ? null : new EntryOutcomes(disk.shared.outcomes, index);
        if (outcomes !== null) senders.set(instance, outcomes);
        const dropEntry = (key: string, id: string): void => this.#pool.dropEntries(key, [id]);
        const diskCalls = diskCallsOf({ writer: disk, outcomes, dropEntry, arrivals });
        calls.set(instance, diskCalls);
        return {
          ...diskCalls.calls,
          invalidate: ({ tags, entry }) => fence.invalidate({ tags, mode: 'hard', entry }),
          invalidateBut: ({ tag, ...entry }) => fence.invalidateBut(tag, entry),
          deliver: (delivery) => this.#feeds.deliver(delivery),
          ...this.#writes.callsOf(instance),
          recorded: (part) => this.#routeCounters.take(instance, part),
          originReports: (reports) => this.#origins.take(reports),
        };
      },
      onDeath: (index, instance, reason) => {
        log.error({ event: 'worker-died', worker: index, reason }, 'a worker died and is replaced');
        forgetConnections(connections, index);
        forgetFlightClaims(flightClaims, index);
        calls.get(instance)?.forget();
        calls.delete(instance);
        // Entries that it has sent may still wait in the writer's queue.
        void Promise.resolve(senders.get(instance)?.arrived()).then(() => senders.delete(instance));
        this.#routeCounters.retire(instance);
        this.#writes.workerDied(instance);
      },
      onFailed: (index, call, error) => {
        // The fence counts its failures, and the worker logs those that it does not answer with an error.
        if (error instanceof NotDurableError) return;
        log.error(
          { event: 'worker-call-failed', worker: index, call, err: error },
          'a call of a worker failed',
        );
      },
    };
    const { port } = mainPort;
    this.#pool = new WorkerPool(options, this.#runtimeConfiguration(config), port);
    const listening = await this.#pool.start();
    if (listening.kind === 'failed') {
      throw new StartFailure(cannotListen(config.listen.host, port, listening.code, listening.message));
    }
    mainPort.release();
    return listening.port;
  }

  async #startAdmin(connections: SharedArrayBuffer, isReadOnly: boolean): Promise<AdminSide> {
    const { clock, log, version, control = null } = this.#deps;
    const { fence, disk } = this.#durable;
    const admin = await startAdminSide({
      version,
      clock: createLifetimeClock(clock, this.#lifetimes),
      log,
      fence,
      disk,
      isReadOnly,
      pool: this.#pool,
      connections,
      routeCounters: this.#routeCounters,
      origins: this.#origins,
      journal: this.#writes.admin,
      control,
      config: () => this.#config,
      feeds: () => this.#feeds.status(),
      trustOf: (route) => this.#feeds.trustOf(route),
      ready: () => this.#readiness(),
    });
    this.#closing.push(() => admin.close());
    return admin;
  }

  #readiness(): Readiness {
    if (this.#isStopping) {
      const readiness = { ready: false, reasons: ['stopping'] };
      return this.#waitsFor === null ? readiness : { ...readiness, waitsFor: this.#waitsFor };
    }
    const reasons = this.#pool.isComplete ? [] : ['not all workers listen'];
    return { ready: reasons.length === 0, reasons };
  }

  async #swap(config: Config): Promise<void> {
    this.#config = config;
    await this.#feeds.prepare(config, this.#shops.urls());
    const configuration = this.#runtimeConfiguration(config);
    this.#startDeliveries(config);
    await this.#pool.reload(configuration);
  }

  #runtimeConfiguration(config: Config): RuntimeConfigurationSource {
    return {
      config,
      demoUrls: this.#shops.urls(),
      originCells: this.#origins.share(config),
      feeds: this.#feeds.shared(),
      receivers: this.#feeds.receivers(),
    };
  }

  /** Starts the deliveries of waiting writes and the health checks of origins. */
  #startDeliveries(config: Config): void {
    const origins = this.#shops.originsOf(config);
    this.#origins.check(origins);
    this.#writes.configure(config, origins, this.#origins.cells(), (name) => this.#origins.observerOf(name));
  }
}

function workersOf({ listen: { workers } }: Config): number {
  if (!CAN_SHARE) return 1;
  return workers === 'auto' ? Math.min(MAX_WORKERS, availableParallelism()) : workers;
}
