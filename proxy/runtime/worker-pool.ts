import { MessageChannel, Worker } from 'node:worker_threads';
import type { Clock } from '../threads/clock.ts';
import type { ExchangesUnderWay } from '../http/listener.ts';
import type {
  CoordinatorCalls,
  Drain,
  FoundInMemory,
  RuntimeConfigurationSource,
  WorkerCalls,
  WorkerStart,
  WorkerStats,
} from './calls.ts';
import { Channel, type Handlers } from '../threads/channel.ts';
import { sumOf } from '../threads/counters.ts';
import { heapLimits } from './process-memory.ts';
import { createWorkerCounters } from './worker-counters.ts';

export interface WorkerPoolOptions {
  readonly workers: number;
  /** The start values that all workers share. */
  readonly shared: Omit<WorkerStart, 'index' | 'instance' | 'configuration' | 'port'>;
  readonly clock: Clock;
  /** Serves the calls of the worker that has this instance number. */
  handlersFor(
    index: number,
    instance: number,
  ): Omit<Handlers<CoordinatorCalls>, 'listening' | 'listenFailed'>;
  /** Called when a worker ends unexpectedly. The pool replaces it. */
  onDeath(index: number, instance: number, reason: string): void;
  /** Called when a call of a worker fails, also one whose error the worker gets. */
  onFailed(index: number, call: string, error: unknown): void;
  /** Starts a thread of `WORKER_FILE`; tests replace it to delay a worker. */
  readonly newWorker?: ((file: URL, start: WorkerStart) => Worker) | undefined;
}

export type PoolStart =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

/** The answers of workers. A worker that has ended in the meantime is omitted. */
export interface WorkerAnswers<T> {
  readonly answers: readonly T[];
  /** The indexes of workers that did not answer in time. */
  readonly silent: readonly number[];
}

type Told<T> =
  { readonly kind: 'told'; readonly answer: T } | { readonly kind: 'ended' } | { readonly kind: 'silent' };

interface Running {
  readonly worker: Worker;
  readonly channel: Channel<WorkerCalls, CoordinatorCalls>;
  readonly instance: number;
  readonly startedAtMs: number;
  isListening: boolean;
}

/**
 * A worker that died younger than this is replaced after a pause, so that a crash at each start does not use up the
 * processor.
 */
const YOUNG_MS = 1_000;
/** Time limits for a worker to report its counters, and to scan all its entries. */
const TELL_MS = 2_000;
const FIND_MS = 5_000;
/** The interval of reports on what a stop waits for. */
const TELL_WAITING_MS = 5_000;
/** A worker that exceeds its grace period by this much is terminated. */
const UNRESPONSIVE_MS = 5_000;
const WORKER_FILE = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url);

/** Starts the workers, connects them to each other, and replaces a worker that dies. */
export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #running: (Running | null)[];
  readonly #counters = createWorkerCounters();
  #configuration: RuntimeConfigurationSource;
  #port: number;
  #instances = 0;
  /** True once all workers listen. A worker that ends earlier is not replaced. */
  #isReplacing = false;
  #isStopping = false;
  replaced = 0;

  constructor(options: WorkerPoolOptions, configuration: RuntimeConfigurationSource, port: number) {
    this.#options = options;
    this.#configuration = configuration;
    this.#port = port;
    this.#running = Array.from({ length: options.workers }, () => null);
  }

  /** Resolves when all workers listen, or when one fails to. */
  async start(): Promise<PoolStart> {
    const starts = this.#running.map((_, index) => this.#spawn(index));
    const results = await Promise.all(starts);
    const failed = results.find((result) => result.kind === 'failed');
    this.#isReplacing = failed === undefined;
    return failed ?? results[0]!;
  }

  get running(): number {
    return this.#running.filter((worker) => worker?.isListening === true).length;
  }

  get isComplete(): boolean {
    return this.running === this.#running.length;
  }

  reload(configuration: RuntimeConfigurationSource): Promise<unknown> {
    this.#configuration = configuration;
    return Promise.all(
      this.#live().map((running) =>
        running.channel.call('reload', configuration).catch((error: unknown) => {
          // A worker that has died in the meantime is replaced by one that starts with the new configuration.
          if (this.#running.includes(running)) throw error;
        }),
      ),
    );
  }

  /** Sums all workers, ended ones included. A worker that does not answer counts with its last report. */
  async stats(): Promise<{ readonly counters: WorkerStats; readonly silent: readonly number[] }> {
    const { silent } = await this.#askAll(TELL_MS, async ({ channel, instance }) => {
      const stats = await channel.call('stats', null);
      this.#counters.add(instance, () => stats);
    });
    return { counters: this.#counters.read(), silent };
  }

  /** Removes these entries of the key from every worker. */
  dropEntries(key: string, ids: readonly string[]): void {
    for (const { channel } of this.#live()) channel.tell('dropEntries', { key, ids });
  }

  entries(key: string): Promise<WorkerAnswers<ReturnType<WorkerCalls['entries']>>> {
    return this.#askAll(TELL_MS, ({ channel }) => channel.call('entries', { key }));
  }

  /** Finds the entries in memory that have any of the tags. An entry in several workers is returned once for each. */
  find(tags: readonly string[]): Promise<WorkerAnswers<readonly FoundInMemory[]>> {
    return this.#askAll(FIND_MS, ({ channel }) => channel.call('find', { tags }));
  }

  /**
   * Lets requests under way finish; resolves with the number that were cut. No worker closes before all have finished,
   * because clients of one worker wait for flights of another. Calls `onWaiting` with what is under way, at once and
   * every few seconds.
   */
  async stop(drain: Drain, onWaiting: (underWay: ExchangesUnderWay) => void = () => {}): Promise<number> {
    this.#isStopping = true;
    const workers = this.#live();
    let isDrained = false;
    const tell = async (): Promise<void> => {
      const underWay = await this.underWay();
      if (!isDrained) onWaiting(underWay);
    };
    void tell();
    const waitingTimer = setInterval(() => void tell(), TELL_WAITING_MS);
    const drained = workers.map(({ channel }) =>
      withinMs(drain.graceMs + UNRESPONSIVE_MS, channel.call('drain', drain), 0),
    );
    const cuts = await Promise.all(drained);
    isDrained = true;
    clearInterval(waitingTimer);
    await Promise.all(
      workers.map(async ({ channel, worker }) => {
        await withinMs(UNRESPONSIVE_MS, channel.call('close', null), undefined);
        await worker.terminate();
      }),
    );
    return cuts.reduce((sum, cut) => sum + cut, 0);
  }

  /** Sums the exchanges of all workers that answer in time. */
  async underWay(): Promise<ExchangesUnderWay> {
    const { answers } = await this.#askAll(TELL_MS, ({ channel }) => channel.call('underWay', null));
    return answers.reduce(sumOf, { requests: 0, eventStreams: 0, tunnels: 0 });
  }

  async #askAll<T>(limitMs: number, ask: (running: Running) => Promise<T>): Promise<WorkerAnswers<T>> {
    const answers: T[] = [];
    const silent: number[] = [];
    await Promise.all(
      this.#running.map(async (running, index) => {
        if (running === null) return;
        const asked = ask(running).then(
          (answer): Told<T> => ({ kind: 'told', answer }),
          (): Told<T> => ({ kind: 'ended' }),
        );
        const told = await withinMs<Told<T>>(limitMs, asked, { kind: 'silent' });
        if (told.kind === 'told') answers.push(told.answer);
        else if (told.kind === 'silent') silent.push(index);
      }),
    );
    return { answers, silent };
  }

  #live(): Running[] {
    return this.#running.filter((worker) => worker !== null);
  }

  #spawn(index: number): Promise<PoolStart> {
    this.#instances += 1;
    const instance = this.#instances;
    const { shared, clock } = this.#options;
    const workerData: WorkerStart = {
      ...shared,
      index,
      instance,
      configuration: this.#configuration,
      port: this.#port,
    };
    const resourceLimits = heapLimits(this.#configuration.config.cache, shared.workers);
    const worker =
      this.#options.newWorker?.(WORKER_FILE, workerData) ??
      new Worker(WORKER_FILE, { workerData, resourceLimits });
    let reason = 'it exited';
    return new Promise((resolve) => {
      const handlers: Handlers<CoordinatorCalls> = {
        ...this.#options.handlersFor(index, instance),
        listening: ({ port }) => {
          running.isListening = true;
          resolve({ kind: 'listening', port });
        },
        listenFailed: (failure) => {
          resolve({ kind: 'failed', ...failure });
          reason = `it could not listen: ${failure.message}`;
          if (this.#isReplacing) void worker.terminate();
        },
      };
      const channel: Running['channel'] = new Channel<WorkerCalls, CoordinatorCalls>(
        worker,
        handlers,
        (call, error) => this.#options.onFailed(index, call, error),
      );
      const running: Running = {
        worker,
        channel,
        instance,
        startedAtMs: clock.monotonicMs(),
        isListening: false,
      };
      this.#running[index] = running;
      worker.on('error', (error: unknown) => {
        reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
        resolve({ kind: 'failed', code: 'worker', message: String(error).split('\n', 1)[0]! });
      });
      worker.on('exit', () => {
        resolve({ kind: 'failed', code: 'worker', message: reason });
        this.#ended(index, running, reason);
      });
      this.#joinPeers(index, channel);
    });
  }

  #joinPeers(index: number, channel: Running['channel']): void {
    this.#running.forEach((other, otherIndex) => {
      if (other === null || otherIndex === index) return;
      const { port1, port2 } = new MessageChannel();
      channel.tell('peer', { index: otherIndex, port: port1 }, [port1]);
      other.channel.tell('peer', { index, port: port2 }, [port2]);
    });
  }

  #ended(index: number, ended: Running, reason: string): void {
    ended.channel.closed();
    this.#counters.end(ended.instance);
    if (this.#running[index] === ended) this.#running[index] = null;
    if (this.#isStopping || !this.#isReplacing) return;
    this.replaced += 1;
    this.#options.onDeath(index, ended.instance, reason);
    const wasYoung = this.#options.clock.monotonicMs() - ended.startedAtMs < YOUNG_MS;
    setTimeout(
      () => {
        if (!this.#isStopping) void this.#spawn(index);
      },
      wasYoung ? YOUNG_MS : 0,
    ).unref();
  }
}

/** Resolves with the answer, or with `otherwise` if the answer is late or the worker has ended. */
function withinMs<T>(limitMs: number, answer: Promise<T>, otherwise: T): Promise<T> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(otherwise), limitMs);
    void answer
      .catch(() => otherwise)
      .then((value) => {
        clearTimeout(timer);
        resolve(value);
      });
  });
}
