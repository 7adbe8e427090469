import { MessageChannel, Worker } from 'node:worker_threads';
import type { Clock } from '../clock.ts';
import type { CoordinatorCalls, SiteSource, WorkerCalls, WorkerStart, WorkerStats } from './calls.ts';
import { Channel, type Handlers } from './channel.ts';

export interface WorkerPoolOptions {
  readonly workers: number;
  /** What all workers are started with alike. */
  readonly shared: Omit<WorkerStart, 'index' | 'instance' | 'site' | 'port'>;
  readonly clock: Clock;
  /** Serves the calls of the worker that has this instance number. */
  handlersFor(
    index: number,
    instance: number,
  ): Omit<Handlers<CoordinatorCalls>, 'listening' | 'listenFailed'>;
  /** A worker has ended that was not told to. */
  onDeath(index: number, instance: number, reason: string): void;
}

export type PoolStart =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

interface Running {
  readonly worker: Worker;
  readonly channel: Channel<WorkerCalls, CoordinatorCalls>;
  readonly instance: number;
  readonly startedAtMs: number;
  isListening: boolean;
}

/** A worker that died younger than this is replaced only after a while, lest one that can't live takes all the time. */
const YOUNG_MS = 1_000;
const WORKER_FILE = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url);

/** The workers: started, joined to each other, replaced when one dies. */
export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #running: (Running | null)[];
  #site: SiteSource;
  #port: number;
  #instances = 0;
  #isStopping = false;
  replaced = 0;

  constructor(options: WorkerPoolOptions, site: SiteSource, port: number) {
    this.#options = options;
    this.#site = site;
    this.#port = port;
    this.#running = Array.from({ length: options.workers }, () => null);
  }

  /** Resolves when all listen, or one can't. */
  async start(): Promise<PoolStart> {
    const starts = this.#running.map((_, index) => this.#spawn(index));
    const results = await Promise.all(starts);
    const failed = results.find((result) => result.kind === 'failed');
    return failed ?? results[0]!;
  }

  get running(): number {
    return this.#running.filter((worker) => worker?.isListening === true).length;
  }

  get isComplete(): boolean {
    return this.running === this.#running.length;
  }

  reload(site: SiteSource): Promise<unknown> {
    this.#site = site;
    return Promise.all(this.#live().map(({ channel }) => channel.call('reload', site)));
  }

  /** Of the workers that answer. */
  async stats(): Promise<WorkerStats[]> {
    const answers = await Promise.allSettled(this.#live().map(({ channel }) => channel.call('stats', null)));
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  }

  async entries(key: string): Promise<Awaited<ReturnType<WorkerCalls['entries']>>[]> {
    const answers = await Promise.allSettled(
      this.#live().map(({ channel }) => channel.call('entries', { key })),
    );
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  }

  /** Lets requests under way finish for at most `graceMs`; resolves with the number that were cut. */
  async stop(graceMs: number): Promise<number> {
    this.#isStopping = true;
    const stops = this.#live().map(async ({ channel, worker }) => {
      const cut = await withinMs(
        graceMs + 5_000,
        channel.call('stop', { graceMs }).catch(() => 0),
      );
      await worker.terminate();
      return cut;
    });
    const cuts = await Promise.all(stops);
    return cuts.reduce((sum, cut) => sum + cut, 0);
  }

  #live(): Running[] {
    return this.#running.filter((worker) => worker !== null);
  }

  #spawn(index: number): Promise<PoolStart> {
    this.#instances += 1;
    const instance = this.#instances;
    const { shared, clock } = this.#options;
    const workerData: WorkerStart = { ...shared, index, instance, site: this.#site, port: this.#port };
    const worker = new Worker(WORKER_FILE, { workerData });
    return new Promise((resolve) => {
      const channel: Running['channel'] = new Channel<WorkerCalls, CoordinatorCalls>(worker, {
        ...this.#options.handlersFor(index, instance),
        listening: ({ port }) => {
          running.isListening = true;
          resolve({ kind: 'listening', port });
        },
        listenFailed: (failure) => resolve({ kind: 'failed', ...failure }),
      });
      const running: Running = {
        worker,
        channel,
        instance,
        startedAtMs: clock.monotonicMs(),
        isListening: false,
      };
      this.#running[index] = running;
      let reason = 'it exited';
      worker.on('error', (error: unknown) => {
        reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
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
    if (this.#running[index] === ended) this.#running[index] = null;
    if (this.#isStopping) return;
    this.replaced += 1;
    this.#options.onDeath(index, ended.instance, reason);
    const wasYoung = this.#options.clock.monotonicMs() - ended.startedAtMs < YOUNG_MS;
    setTimeout(
      () => {
        if (!this.#isStopping) void this.#spawn(index);
      },
      wasYoung ? YOUNG_MS : 0,
    );
  }
}

function withinMs(limitMs: number, answer: Promise<number>): Promise<number> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(0), limitMs);
    void answer.then((value) => {
      clearTimeout(timer);
      resolve(value);
    });
  });
}
