/** Workers in the thread of the test, made of the parts that Weir runs, and connected as by message ports. */
import type { Readable } from 'node:stream';
import type { Origin } from '../../origin-adapters/origin.ts';
import type { Fields } from '../../policies/http/fields.ts';
import type { Fence } from '../../proxy/fence/fence.ts';
import type { SharedFeed } from '../../proxy/feeds/shared-feed.ts';
import type { Exchange } from '../../proxy/http/exchange.ts';
import type { Mechanisms } from '../../proxy/mechanisms.ts';
import { createLog } from '../../proxy/observability/logger.ts';
import { originCellsSource } from '../../proxy/origins/origin-cells.ts';
import type { RuntimeConfigurationSource } from '../../proxy/runtime/calls.ts';
import { WorkerRuntime, type RuntimeDependencies } from '../../proxy/runtime/worker-runtime.ts';
import type { DiskTier } from '../../proxy/store/disk-tier.ts';
import { startLifetimes } from '../../proxy/threads/lifetime-clock.ts';
import type { SetClock } from '../fence/given.ts';

/** A configuration whose one origin is named `shop`. */
export function configurationSource(
  config: RuntimeConfigurationSource['config'],
  feeds: Readonly<Record<string, SharedFeed>> = {},
): RuntimeConfigurationSource {
  return { config, demoUrls: {}, originCells: originCellsSource(['shop'], null), feeds, receivers: [] };
}

export interface InProcessWorker {
  readonly index: number;
  /** The number of workers. */
  readonly workers: number;
  readonly boot: number;
  readonly configuration: RuntimeConfigurationSource;
  readonly fence: Fence;
  readonly clock: SetClock;
  readonly mechanisms: Mechanisms;
  readonly origin: Origin;
  readonly disk: DiskTier | null;
  /** The same for all workers. */
  readonly hitForMiss: SharedArrayBuffer;
  readonly writesInFlight: SharedArrayBuffer;
  readonly flightClaims: SharedArrayBuffer;
}

/** `change` replaces dependencies of a worker. */
export function startWorker(
  worker: InProcessWorker,
  change: (deps: RuntimeDependencies) => RuntimeDependencies = (deps) => deps,
): WorkerRuntime {
  const { index, workers, boot, configuration, fence, clock, mechanisms, origin, disk } = worker;
  const { hitForMiss, writesInFlight, flightClaims } = worker;
  return new WorkerRuntime(
    change({
      start: {
        index,
        instance: index + 1,
        boot,
        workers,
        sharesPort: false,
        port: 0,
        configuration,
        fence: fence.buffer,
        hitForMiss,
        writesInFlight,
        flightClaims,
        // Nothing listens, so no connections are counted there.
        connections: hitForMiss,
        lifetimes: startLifetimes(clock),
        disk: null,
      },
      clock,
      mechanisms,
      log: SILENT,
      accessLog: () => {},
      recorder: { request: () => {}, originHead: () => {} },
      disk: disk === null ? null : { tier: disk, corrupt: () => 0 },
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
  );
}

const SILENT = createLog({ level: 'silent', thread: 'test', fd: 1 });

function nobody(): never {
  throw new Error('not used by the tests');
}

/**
 * `deliverer` makes the function that delivers the messages of one end, in their order, each at a moment of
 * its choice.
 */
export function connectWorkers(
  runtimes: readonly WorkerRuntime[],
  deliverer: () => (act: () => void) => void,
): void {
  for (let one = 0; one < runtimes.length; one += 1) {
    for (let other = one + 1; other < runtimes.length; other += 1) {
      const ends = [new End(deliverer()), new End(deliverer())] as const;
      ends[0].other = ends[1];
      ends[1].other = ends[0];
      const [left, right] = ends as unknown as [WorkerPort, WorkerPort];
      runtimes[one]!.connectPeer(other, left);
      runtimes[other]!.connectPeer(one, right);
    }
  }
}

type WorkerPort = Parameters<WorkerRuntime['connectPeer']>[1];

/** One end of a channel: the part of MessagePort that workers use. Each message is a copy. */
class End {
  other!: End;
  readonly #listeners: ((message: unknown) => void)[] = [];
  readonly #deliver: (act: () => void) => void;

  constructor(deliver: (act: () => void) => void) {
    this.#deliver = deliver;
  }

  on(event: string, listener: (message: unknown) => void): void {
    if (event === 'message') this.#listeners.push(listener);
  }

  postMessage(message: unknown): void {
    const copy = structuredClone(message);
    this.#deliver(() => this.other.#listeners.forEach((listener) => listener(copy)));
  }

  close(): void {}
}

export interface Asked {
  readonly method?: string;
  readonly fields?: Fields;
  readonly body?: Readable;
  readonly upgrade?: readonly string[];
}

export interface Answered {
  /** 0 if the connection was cut. */
  readonly status: number;
  readonly fields: Fields;
  readonly body: string;
  /** The fields of interim responses. */
  readonly informed: readonly Fields[];
}

/** A client's request. The client may leave. */
export class Client {
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
      respondShared(status, shared, own, bytes) {
        body = Buffer.from(bytes ?? []).toString();
        answered(status, [...shared.fields, ...own.fields]);
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
