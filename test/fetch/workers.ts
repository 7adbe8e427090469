/**
 * Workers, an origin and the fence in one thread, made of the parts that Weir runs. Clients send requests, and the test
 * answers the requests to the origin one after another.
 *
 *     const scene = await startWorkers(2, 'stale-if-error: 60s');      // a route's `cache` keys
 *     const answers = [0, 1].map((worker) => scene.ask(worker, '/a', { fields: ['Cookie', 'a'] }));
 *     await scene.answerAll(({ fields }) => ({ fields: ['ETag', '"1"'], body: fieldValue(fields, 'cookie') }));
 *     scene.origin.requests.length        // the number of requests to the origin
 *     scene.origin.maxRunning             // the largest number at once
 */
import type { Origin, OriginFailure, OriginHandler, OriginRequest } from '../../origin-adapters/origin.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { Fence } from '../../proxy/fence/fence.ts';
import { sharedFeed, type SharedFeed } from '../../proxy/feeds/shared-feed.ts';
import { flightClaimsBuffer } from '../../proxy/fetch/flight-claims.ts';
import { hitForMissBuffer } from '../../proxy/fetch/hit-for-miss.ts';
import { writesInFlightBuffer } from '../../proxy/store/disk/writes-in-flight.ts';
import { ALL_MECHANISMS } from '../../proxy/mechanisms.ts';
import type { RuntimeDependencies, WorkerRuntime } from '../../proxy/runtime/worker-runtime.ts';
import { configOf } from '../config/load.ts';
import { setClock, type SetClock } from '../fence/given.ts';
import { settle } from '../support/barrier.ts';
import {
  Client,
  configurationSource,
  connectWorkers,
  startWorker,
  type Answered,
  type Asked,
} from '../support/in-process.ts';
import { MemoryState } from '../support/memory-state.ts';

export type { Answered, Asked } from '../support/in-process.ts';

export interface OriginAnswer {
  readonly status?: number;
  readonly fields?: Fields;
  readonly body?: string;
  /** The fields of interim responses before the answer. */
  readonly informs?: readonly Fields[];
}

export type OriginResult = OriginAnswer | Pick<OriginFailure, 'kind' | 'status'>;

export interface Workers {
  readonly clock: SetClock;
  readonly fence: Fence;
  readonly origin: HeldOrigin;
  readonly runtimes: readonly WorkerRuntime[];
  /** Those in the configuration; none has been proved to be at its head yet. */
  readonly feeds: Readonly<Record<string, SharedFeed>>;
  /** How many messages workers have sent to each other. */
  readonly sent: () => number;
  ask(worker: number, path: string, asked?: Asked): Promise<Answered>;
  /** A running request that the client may leave. */
  begin(
    worker: number,
    path: string,
    asked?: Asked,
  ): { readonly answered: Promise<Answered>; readonly leave: () => void };
  /** Answers the requests to the origin in their order, until there are no more. */
  answerAll(answer: (request: OriginRequest) => OriginResult): Promise<void>;
}

/** `change` replaces dependencies of a worker. */
export async function startWorkers(
  count: number,
  cache = '',
  more = '',
  change?: (deps: RuntimeDependencies) => RuntimeDependencies,
): Promise<Workers> {
  const clock = setClock();
  const config = configOf(`
    origins: { shop: { url: "http://shop" } }
    routes: [{ name: all, match: /*, cache: { ${cache} } }]
    ${more}`);
  const state = new MemoryState();
  // With this key the first worker owns the path `/`, in every run.
  await state.write(() => state.table('meta').put('tag-key', Buffer.alloc(16, 2)));
  const fence = await Fence.open(1_000, {
    state,
    clock,
    mechanisms: ALL_MECHANISMS,
    block: 100,
  });
  const origin = new HeldOrigin();
  const feeds = Object.fromEntries(Object.keys(config.feeds).map((name) => [name, sharedFeed()]));
  const shared = {
    workers: count,
    boot: 1,
    configuration: configurationSource(config, feeds),
    fence,
    clock,
    mechanisms: ALL_MECHANISMS,
    origin,
    disk: null,
    hitForMiss: hitForMissBuffer(),
    writesInFlight: writesInFlightBuffer(),
    flightClaims: flightClaimsBuffer(),
  };
  const runtimes = Array.from({ length: count }, (_, index) => startWorker({ ...shared, index }, change));
  let sent = 0;
  connectWorkers(runtimes, () => (act) => {
    sent += 1;
    setImmediate(act);
  });
  const begin: Workers['begin'] = (worker, path, asked = {}) => {
    const { promise, resolve } = Promise.withResolvers<Answered>();
    const client = new Client(path, asked, resolve);
    runtimes[worker]!.handle(client.exchange);
    return { answered: promise, leave: () => client.leave() };
  };
  return {
    clock,
    fence,
    origin,
    runtimes,
    feeds,
    sent: () => sent,
    begin,
    ask: (worker, path, asked) => begin(worker, path, asked).answered,
    async answerAll(answer) {
      await settle();
      while (origin.answerOne(answer)) await settle();
    },
  };
}

interface Held {
  readonly request: OriginRequest;
  readonly handler: OriginHandler;
}

/** An origin whose answers wait until the test gives them. */
export class HeldOrigin implements Origin {
  readonly name = 'shop';
  readonly stats = { requests: 0, failures: 0, retries: 0, abandoned: 0, running: 0, queued: 0 };
  readonly requests: OriginRequest[] = [];
  /** The largest number of requests that ran at once. */
  maxRunning = 0;
  #held: Held[] = [];

  get running(): number {
    return this.#held.length;
  }

  send(request: OriginRequest, handler: OriginHandler) {
    const held: Held = { request, handler };
    this.requests.push(request);
    this.#held.push(held);
    this.maxRunning = Math.max(this.maxRunning, this.#held.length);
    return { pause: () => {}, resume: () => {}, abort: () => this.#drop(held) };
  }

  /** Answers the oldest waiting request; false if there is none. */
  answerOne(answer: (request: OriginRequest) => OriginResult): boolean {
    const held = this.#held[0];
    if (held === undefined) return false;
    const { request, handler } = held;
    const result = answer(request);
    this.#drop(held);
    if ('kind' in result) {
      handler.onFailure({ ...result, message: '', maybeProcessed: true, cause: null });
      return true;
    }
    const { status = 200, fields = [], body = '', informs = [] } = result;
    for (const sent of informs) handler.onInformational(103, sent);
    handler.onHead(status, fields);
    if (request.method !== 'HEAD' && status !== 304) handler.onData(Buffer.from(body));
    handler.onEnd([]);
    return true;
  }

  forget(): void {
    this.requests.length = 0;
    this.maxRunning = this.#held.length;
  }

  upgrade(): never {
    throw new Error('not used by the tests');
  }

  async close(): Promise<void> {}

  #drop(held: Held): void {
    this.#held = this.#held.filter((other) => other !== held);
  }
}
