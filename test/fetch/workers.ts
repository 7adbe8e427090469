/**
 * Workers, an origin and the fence in one thread, of the parts that Weir runs: clients ask, and the test answers what the
 * origin is asked, one request after another.
 *
 *     const scene = await startWorkers(2, 'stale-if-error: 60s');      // a route's `cache` keys
 *     const answers = [0, 1].map((worker) => scene.ask(worker, '/a', { fields: ['Cookie', 'a'] }));
 *     await scene.answerAll(({ fields }) => ({ fields: ['ETag', '"1"'], body: fieldValue(fields, 'cookie') }));
 *     scene.origin.requests.length        // what the origin was asked
 *     scene.origin.maxRunning             // the most that it was asked at a time
 */
import type { Readable } from 'node:stream';
import type { Origin, OriginFailure, OriginHandler, OriginRequest } from '../../origin-adapters/origin.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { Fence } from '../../proxy/fence/fence.ts';
import { sharedFeed, type SharedFeed } from '../../proxy/feeds/shared-feed.ts';
import { hitForMissBuffer } from '../../proxy/fetch/hit-for-miss.ts';
import { writesInFlightBuffer } from '../../proxy/store/disk/writes-in-flight.ts';
import type { Exchange } from '../../proxy/http/exchange.ts';
import { createLog } from '../../proxy/observability/logger.ts';
import { startLifetimes } from '../../proxy/threads/lifetime-clock.ts';
import { ALL_MECHANISMS } from '../../proxy/mechanisms.ts';
import { originCellsSource } from '../../proxy/origins/origin-cells.ts';
import type { RuntimeConfigurationSource } from '../../proxy/runtime/calls.ts';
import { WorkerRuntime, type RuntimeDependencies } from '../../proxy/runtime/worker-runtime.ts';
import { configOf } from '../config/load.ts';
import { setClock, type SetClock } from '../fence/given.ts';
import { settle } from '../support/barrier.ts';
import { MemoryState } from '../support/memory-state.ts';

export interface Asked {
  readonly method?: string;
  readonly fields?: Fields;
  readonly body?: Readable;
  readonly upgrade?: readonly string[];
}

export interface Answered {
  readonly status: number;
  readonly fields: Fields;
  readonly body: string;
  readonly informed: readonly Fields[];
}

export interface OriginAnswer {
  readonly status?: number;
  readonly fields?: Fields;
  readonly body?: string;
  /** The fields of interim responses that come before. */
  readonly informs?: readonly Fields[];
}

export type OriginResult = OriginAnswer | Pick<OriginFailure, 'kind' | 'status'>;

export interface Workers {
  readonly clock: SetClock;
  readonly fence: Fence;
  readonly origin: HeldOrigin;
  readonly runtimes: readonly WorkerRuntime[];
  /** Those that the configuration names; none has been proved to be at its head yet. */
  readonly feeds: Readonly<Record<string, SharedFeed>>;
  ask(worker: number, path: string, asked?: Asked): Promise<Answered>;
  /** Requests under way that the client may leave. */
  begin(
    worker: number,
    path: string,
    asked?: Asked,
  ): { readonly answered: Promise<Answered>; readonly leave: () => void };
  /** Answers whatever the origin is asked, in the order of asking, until it is asked nothing more. */
  answerAll(answer: (request: OriginRequest) => OriginResult): Promise<void>;
}

/** `change` puts other surroundings in place of a worker's. */
export async function startWorkers(
  count: number,
  cache = '',
  more = '',
  change: (deps: RuntimeDependencies) => RuntimeDependencies = (deps) => deps,
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
  const site: RuntimeConfigurationSource = {
    config,
    demoUrls: {},
    originCells: originCellsSource(['shop'], null),
    feeds,
    receivers: [],
  };
  const shared = hitForMissBuffer();
  const runtimes = Array.from(
    { length: count },
    (_, index) =>
      new WorkerRuntime(
        change({
          start: {
            index,
            instance: index + 1,
            boot: 1,
            workers: count,
            sharesPort: false,
            port: 0,
            configuration: site,
            fence: fence.buffer,
            hitForMiss: shared,
            writesInFlight: writesInFlightBuffer(),
            connections: shared,
            lifetimes: startLifetimes(clock),
            diskPath: null,
          },
          clock,
          mechanisms: ALL_MECHANISMS,
          log: createLog({ level: 'silent', thread: 'test', fd: 1 }),
          accessLog: () => {},
          recorder: { request: () => {}, originHead: () => {} },
          disk: null,
          invalidate: (tags) => fence.invalidate({ tags, mode: 'hard' }),
          invalidateBut: (tag, entry) => fence.invalidateBut(tag, entry),
          journal: {
            admitThrough: nobody,
            abandonThrough: nobody,
            settleThrough: nobody,
            takeSlot: nobody,
            giveSlot: nobody,
            holdUnknown: nobody,
            acceptWrite: nobody,
            originResponse: nobody,
            readPending: nobody,
          },
          deliver: nobody,
          createOrigin: () => origin,
        }),
      ),
  );
  for (let one = 0; one < count; one += 1) {
    for (let other = one + 1; other < count; other += 1) {
      const [left, right] = portPair();
      runtimes[one]!.connectPeer(other, left);
      runtimes[other]!.connectPeer(one, right);
    }
  }
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
    begin,
    ask: (worker, path, asked) => begin(worker, path, asked).answered,
    async answerAll(answer) {
      await settle();
      while (origin.answerOne(answer)) await settle();
    },
  };
}

function nobody(): never {
  throw new Error('nobody asks for it');
}

class Client {
  readonly exchange: Exchange;
  readonly #gone: (() => void)[] = [];
  #isClosed = false;

  constructor(
    path: string,
    { method = 'GET', fields = [], body: content, upgrade }: Asked,
    answer: (answered: Answered) => void,
  ) {
    const informed: Fields[] = [];
    let body = '';
    const isClosed = (): boolean => this.#isClosed;
    const answered = (status: number, sent: Fields): void => {
      this.#isClosed = true;
      answer({ status, fields: sent, body, informed });
    };
    this.exchange = {
      method,
      version: '1.1',
      target: path,
      authority: 'shop',
      scheme: 'http',
      fields,
      remoteAddress: '127.0.0.1',
      startedAt: 0,
      body: content ?? null,
      upgrade: upgrade ?? null,
      get closed() {
        return isClosed();
      },
      onGone: (listener) => void this.#gone.push(listener),
      onEnd: () => {},
      inform: (_status, sent) => void informed.push(sent),
      tunnel: () => {},
      respond(status, sent, bytes) {
        body = Buffer.from(bytes ?? []).toString();
        answered(status, sent);
      },
      stream: (status, sent) => ({
        write(chunk) {
          body += Buffer.from(chunk).toString();
          return true;
        },
        onDrain: () => {},
        end: () => answered(status, sent),
      }),
      abort: () => answered(0, []),
    };
  }

  leave(): void {
    this.#isClosed = true;
    for (const listener of this.#gone) listener();
  }
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
  /** The most requests that were under way at a time. */
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

  /** The oldest request that waits; false: there is none. */
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
    throw new Error('nobody asks for it');
  }

  async close(): Promise<void> {}

  #drop(held: Held): void {
    this.#held = this.#held.filter((other) => other !== held);
  }
}

type Port = Parameters<WorkerRuntime['connectPeer']>[1];

/** Two ends of a channel: what workers use of a MessagePort, each message a copy. */
function portPair(): [Port, Port] {
  const ends = [new End(), new End()] as const;
  ends[0].other = ends[1];
  ends[1].other = ends[0];
  return ends as unknown as [Port, Port];
}

class End {
  other!: End;
  readonly #listeners: ((message: unknown) => void)[] = [];

  on(event: string, listener: (message: unknown) => void): void {
    if (event === 'message') this.#listeners.push(listener);
  }

  postMessage(message: unknown): void {
    const copy = structuredClone(message);
    setImmediate(() => this.other.#listeners.forEach((listener) => listener(copy)));
  }

  close(): void {}
}
