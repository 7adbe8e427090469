import type { WebhookDelivery } from '../feeds/calls.ts';
import type { MessagePort } from 'node:worker_threads';
import type { DeliveryAnswer } from '../../origin-adapters/feeds/feed.ts';
import { createWritesInFlight, type WritesInFlight } from '../store/disk/writes-in-flight.ts';
import type { DiskTier } from '../store/disk-tier.ts';
import type { EntryHead } from '../store/entry-head.ts';
import { Tiers } from '../store/tiers.ts';
import { createMemoryTier } from '../store/memory.ts';
import type { AskedEntry, Invalidated } from '../fence/fence.ts';
import { loadKey, SharedWords } from '../fence/layout.ts';
import { FenceReader } from '../fence/reader.ts';
import { Fetches } from '../fetch/fetches.ts';
import { Learner } from '../store/learner.ts';
import { PeerPorts, type Peer } from '../fetch/peers/peers.ts';
import { createFlightClaims } from '../fetch/flight-claims.ts';
import { createHitForMiss } from '../fetch/hit-for-miss.ts';
import type { Exchange } from '../http/exchange.ts';
import type { SlowPart } from '../http/listener-context.ts';
import { startListener, type ExchangesUnderWay, type Listener } from '../http/listener.ts';
import { KeyedHash } from '../threads/keyed-hash.ts';
import { createLifetimeClock } from '../threads/lifetime-clock.ts';
import type { AccessLog, Log } from '../observability/logger.ts';
import type { Mechanisms } from '../mechanisms.ts';
import type { Recorder } from '../observability/recorder.ts';
import { AccessRecords } from '../request/access-records.ts';
import { WebhookHandler } from '../request/handlers/webhook.ts';
import { PassHandler } from '../request/handlers/pass.ts';
import { CollapsedFetch } from '../request/handlers/collapsed-fetch.ts';
import { PrivateFetch } from '../request/handlers/private-fetch.ts';
import { Refreshes } from '../request/handlers/refreshes.ts';
import { EntryHandler } from '../request/handlers/serve.ts';
import { TunnelHandler } from '../request/handlers/tunnel.ts';
import { RequestMachine, type RequestMachineDependencies } from '../request/machine.ts';
import { Positions } from '../request/positions.ts';
import { PurgeHandler } from '../request/handlers/purge.ts';
import { WriteAroundHandler } from '../request/handlers/write-around.ts';
import { WriteBehindHandler } from '../request/handlers/write-behind.ts';
import { WriteThroughHandler } from '../request/handlers/write-through.ts';
import { PendingReadHandler } from '../request/handlers/pending-read.ts';
import type { JournalClient } from '../writes/calls.ts';
import type { ActiveRoute } from '../origins/active-route.ts';
import type { Drain, FoundInMemory, RuntimeConfigurationSource, WorkerStart, WorkerStats } from './calls.ts';
import { createConnectionCounter } from './connection-counter.ts';
import { entryIds } from '../store/entry-ids.ts';
import { WorkerConfiguration } from './worker-configuration.ts';
import { WorkerOrigins, type WorkerOriginsDependencies } from './worker-origins.ts';

/** The dependencies of a worker, in its own thread or in the coordinator's. */
export interface RuntimeDependencies extends WorkerOriginsDependencies {
  readonly start: WorkerStart;
  readonly mechanisms: Mechanisms;
  readonly log: Log;
  readonly accessLog: AccessLog;
  readonly recorder: Recorder;
  readonly disk: { readonly tier: DiskTier; readonly corrupt: () => number } | null;
  invalidate(tags: readonly string[], entry?: AskedEntry): Promise<Invalidated>;
  invalidateBut(tag: string, entry: AskedEntry): Promise<{ readonly floor: number }>;
  readonly journal: JournalClient;
  deliver(delivery: WebhookDelivery): Promise<DeliveryAnswer>;
  /** For tests: called at each step of a request. */
  readonly onTransition?: RequestMachineDependencies['onTransition'];
}

/** One entry may take half of a worker's memory if there is no disk tier, else a sixteenth. */
const LARGEST_SHARE = { alone: 1 / 2, aboveDisk: 1 / 16 };
/** The garbage that V8 accumulates before it collects: young objects and external memory. */
const UNCOLLECTED_BYTES = 32 * 2 ** 20;

/** The request path of one worker, from the listener to the origins. */
export class WorkerRuntime {
  readonly #deps: RuntimeDependencies;
  readonly #origins: WorkerOrigins;
  readonly #configuration: WorkerConfiguration;
  readonly #tiers: Tiers;
  readonly #flights: Fetches;
  readonly #refreshes: Refreshes;
  readonly #machine: RequestMachine;
  readonly #peers: PeerPorts;
  readonly #writesInFlight: WritesInFlight;
  #listener: Listener | null = null;
  #droppedFields = 0;
  readonly #tooSlow: Record<SlowPart, number> = { head: 0, content: 0, total: 0, answer: 0 };

  constructor(deps: RuntimeDependencies) {
    this.#deps = deps;
    const { start, mechanisms, log, recorder } = deps;
    const clock = createLifetimeClock(deps.clock, start.lifetimes);
    this.#origins = new WorkerOrigins(deps);
    const configuration = new WorkerConfiguration(start.configuration, this.#origins, deps.clock);
    this.#configuration = configuration;
    const { config } = start.configuration;
    const fence = new FenceReader(new SharedWords(start.fence), clock, mechanisms);
    const keyHash = keyHashOf(start);
    const largest = deps.disk === null ? LARGEST_SHARE.alone : LARGEST_SHARE.aboveDisk;
    const memory = createMemoryTier(memoryTierBytes(config.cache.memoryBytes / start.workers), largest);
    const routeNamed = (name: string): ActiveRoute | null => configuration.routeNamed(name);
    this.#tiers = new Tiers(
      memory,
      deps.disk?.tier ?? null,
      (name) => routeNamed(name)?.config.cache ?? null,
    );
    const { flights } = config;
    const newEntryId = entryIds(start.boot, start.instance);
    const shared = {
      fence,
      clock,
      mechanisms,
      tiers: this.#tiers,
      windowBytes: flights.windowBytes,
      maxObjectBytes: config.cache.maxObjectBytes,
      routeNamed,
      trustOf: (route: ActiveRoute) => configuration.trustOf(route),
      feedOf: (route: ActiveRoute) => configuration.feedOf(route),
      originHead: (route: string, durationMs: number) => recorder.originHead(route, durationMs),
      outdateCopies: (head: EntryHead, urlTag: string) => this.#outdateCopies(head, urlTag),
      tellPeers: (head: EntryHead) => this.#peers.tell(head),
      onInternalError: (error: unknown) => log.error({ err: error }, 'a request failed unexpectedly'),
    };
    const learner = new Learner({ ...shared, shareLesson: (lesson) => this.#peers.shareLesson(lesson) });
    this.#writesInFlight = createWritesInFlight(start.writesInFlight, start.index, keyHash);
    const positions = new Positions((name) => configuration.feedNamed(name), clock);
    this.#peers = new PeerPorts(start.index, start.workers, keyHash, {
      ...shared,
      flightClaims: deps.disk === null ? null : createFlightClaims(start.flightClaims, start.index, keyHash),
      holderOf: (key) => this.#writesInFlight.holderOf(key),
      flights: () => this.#flights,
      learnInMemory: (lesson) => learner.learnInMemory(lesson),
    });
    this.#flights = new Fetches({
      ...shared,
      learner,
      peers: start.workers > 1 ? this.#peers : null,
      hitForMiss: createHitForMiss(start.hitForMiss, keyHash),
      maxWaiters: flights.waiters,
      maxWaiting: flights.waiting,
      maxFailures: flights.failures,
      newEntryId,
    });
    const { access } = config.log;
    const accessRecords = new AccessRecords(
      recorder,
      clock,
      access ? ({ target, ...line }) => deps.accessLog({ ...line, path: target.split('?', 1)[0]! }) : null,
    );
    const pass = new PassHandler(clock, accessRecords);
    this.#refreshes = new Refreshes(this.#flights, clock, flights.background);
    const writes = {
      journal: deps.journal,
      passHandler: pass,
      accessRecords,
      positions,
      entryStore: { tiers: this.#tiers, clock, hasher: fence.hasher, newEntryId },
      configuration: () => configuration.current,
    };
    const asked = { ...shared, flights: this.#flights, positions, accessRecords };
    this.#machine = new RequestMachine({
      ...shared,
      positions,
      accessRecords,
      purge: new PurgeHandler(accessRecords, (tags) => deps.invalidate(tags)),
      webhook: new WebhookHandler(accessRecords, (delivery) => deps.deliver(delivery)),
      tunnel: new TunnelHandler(accessRecords),
      pass,
      writeAround: new WriteAroundHandler({
        ...writes,
        invalidator: deps,
        onNotDurable: (error) =>
          log.error(
            { event: 'invalidation-not-durable', err: error },
            'the invalidation by a write is not durable',
          ),
      }),
      writeThrough: new WriteThroughHandler(writes),
      writeBehind: new WriteBehindHandler({ journal: deps.journal, accessRecords }),
      pendingReads: new PendingReadHandler({ journal: deps.journal, fence, accessRecords }),
      serve: new EntryHandler({ ...shared, accessRecords }),
      fetch: new CollapsedFetch(asked),
      privateFetch: new PrivateFetch({ ...asked, learner, passHandler: pass }),
      refreshes: this.#refreshes,
      maxDeliveryBytes: (path) => configuration.maxDeliveryBytes(path),
      peerFor: (key) => this.#peerFor(key),
      configuration: () => configuration.current,
      isTrusted: (address) => configuration.isTrusted(address),
      onTransition: deps.onTransition,
    });
  }

  async listen(): Promise<
    | { readonly kind: 'listening'; readonly port: number }
    | { readonly kind: 'failed'; readonly code: string; readonly message: string }
  > {
    const { start, log } = this.#deps;
    const { listen } = start.configuration.config;
    const result = await startListener({
      host: listen.host,
      port: start.port,
      reusePort: start.sharesPort,
      limits: listen.limits,
      underscores: listen.underscores,
      onFieldsDropped: (count) => {
        this.#droppedFields += count;
      },
      onTooSlow: (part) => {
        this.#tooSlow[part] += 1;
      },
      tls: listen.tls,
      onExchange: (exchange) => this.handle(exchange),
      connectionsInUse: createConnectionCounter(start.connections, start.index),
      log,
    });
    if (result.kind === 'failed') return result;
    this.#listener = result;
    return { kind: 'listening', port: result.port };
  }

  /** Swaps routes, origins and their dependencies. Keeps the cache and the exchanges under way. */
  reload(source: RuntimeConfigurationSource): void {
    this.#configuration.reload(source);
  }

  /** Answers a request from any listener. */
  handle(exchange: Exchange): void {
    this.#machine.handle(exchange);
  }

  connectPeer(index: number, port: MessagePort): void {
    this.#peers.connect(index, port);
  }

  get tiers(): Tiers {
    return this.#tiers;
  }

  stats(): WorkerStats {
    return {
      memory: this.#tiers.memory.stats,
      promotions: this.#tiers.promotions,
      lost: this.#tiers.lost,
      corrupt: this.#deps.disk?.corrupt() ?? 0,
      flights: {
        ...this.#flights.counters,
        running: this.#flights.running,
        waiting: this.#flights.waiting,
      },
      refreshes: { ...this.#refreshes.counters },
      requests: { droppedFields: this.#droppedFields, tooSlow: { ...this.#tooSlow } },
      origins: this.#origins.stats(),
    };
  }

  /** Returns the entries in memory that have any of the tags. */
  async find(tags: readonly string[]): Promise<FoundInMemory[]> {
    const wanted = new Set(tags);
    const found: FoundInMemory[] = [];
    for await (const { head } of this.#tiers.memory.scan()) {
      if (head.tags.some((tag) => wanted.has(tag))) found.push({ id: head.id, url: head.url });
    }
    return found;
  }

  /**
   * Accepts no more connections; resolves, when no client is left, with the number of exchanges that were cut. Clients
   * of other workers may still wait for flights that run here.
   */
  async drain({ graceMs, streamsMs }: Drain): Promise<number> {
    return (await this.#listener?.stop(graceMs, streamsMs)) ?? 0;
  }

  underWay(): ExchangesUnderWay {
    return this.#listener?.underWay() ?? { requests: 0, eventStreams: 0, tunnels: 0 };
  }

  async close(): Promise<void> {
    await this.#origins.close();
    this.#peers.close();
  }

  /** The worker that may hold an entry which is not, or not yet, on a shared disk; null if there is none. */
  #peerFor(key: string): Peer | null {
    if (this.#deps.disk === null) return this.#peers.ownerOf(key);
    const holder = this.#writesInFlight.holderOf(key);
    return holder === null ? null : this.#peers.at(holder);
  }

  /** Invalidates other copies of the URL. Returns the head with the resulting floor. */
  async #outdateCopies(head: EntryHead, urlTag: string): Promise<EntryHead> {
    const { log, invalidateBut } = this.#deps;
    try {
      const { floor } = await invalidateBut(urlTag, { tags: head.tagHashes, floor: head.floor });
      return { ...head, floor };
    } catch (error) {
      log.error(
        { event: 'invalidation-not-durable', err: error },
        'the invalidation of other copies of a URL is not durable',
      );
      return head;
    }
  }
}

/** The hash that maps a cache key to its slots and its owner. It is keyed, because clients choose the cache keys. */
export function keyHashOf({ fence }: Pick<WorkerStart, 'fence'>): KeyedHash {
  return new KeyedHash(loadKey(new SharedWords(fence)));
}

/** A worker's memory tier: its share without the allowance for garbage that is not yet collected. */
function memoryTierBytes(shareBytes: number): number {
  return Math.floor(shareBytes - Math.min(shareBytes / 4, UNCOLLECTED_BYTES));
}
