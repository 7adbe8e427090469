import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../../support/free-port.ts';
import { startWeir, type RunningWeir } from '../../support/weir.ts';
import { readWhile } from './clients.ts';
import type { Driver, Fault, Target } from './driver.ts';
import { History, type Bounds } from './history.ts';
import { Random } from './random.ts';
import { VersionedOrigin, type OriginOptions, type SentAnswer } from './versioned-origin.ts';

export interface RunOptions {
  readonly seed: number;
  readonly durationMs: number;
  driver(target: Target): Driver | Promise<Driver>;
  readonly origin?: Partial<
    Pick<OriginOptions, 'character' | 'validator' | 'lagMs' | 'versionHeader' | 'slownessMs'>
  >;
  /** The faults of Weir itself that happen. */
  readonly weirFaults: readonly ('kill' | 'worker' | 'stop')[];
  /** The names of the driver's faults that happen; absent: all. */
  readonly driverFaults?: readonly string[];
  readonly readLagMs?: number;
  /** The field of a change with the version that the origin attests; absent: the origin attests positions. */
  readonly versionField?: string;
  /** Milliseconds; 1000 where absent. */
  readonly maxSilenceMs?: number;
  /** False for a feed that can't prove that it is at its head: only changes that Weir has reported count as in force. */
  readonly proves?: boolean;
  readonly writers?: number;
  readonly writerPauseMs?: number;
  /** The `cache` section of the one route; absent: one that fits the driver's feed. */
  readonly cache?: string;
  /** Whether the run could have revealed a violation; absent: as `History` decides. */
  isConclusive?(history: History): boolean;
}

export interface RunResult {
  readonly history: History;
  /** The origin's answers since Weir was last killed. */
  readonly sentAnswers: readonly SentAnswer[];
  readonly isConclusive: boolean;
  readonly bounds: Bounds;
  readonly faults: readonly string[];
  readonly weirLines: readonly string[];
}

const READERS = 10;
const POLL_MS = 10;
/** Reads between two changes of one writer, so that responses are reused on a busy machine, too. */
const READS_BETWEEN = 3;
/** The longest that a writer waits for these reads. */
const LONGEST_PAUSE_MS = 1_000;
/** How much longer a run may last on a busy machine until it is conclusive. */
const PATIENCE_MS = 30_000;
/** Time that timers and the scheduler take beyond the guaranteed bound. */
const SLACK_MS = 400;
const PRELOAD = fileURLToPath(new URL('./kill-workers.mjs', import.meta.url));

/**
 * Runs clients, writers and a slow origin against a Weir process of two workers, with faults. Its pauses are the real
 * durations of the run: the pace of the writers, the time between faults and the length of each fault.
 */
export async function run(options: RunOptions): Promise<RunResult> {
  const scene = await Scene.open(options);
  try {
    return await scene.play();
  } finally {
    await scene.close();
  }
}

class Scene {
  readonly #options: RunOptions;
  readonly #random: Random;
  readonly #history = new History();
  readonly #origin: VersionedOrigin;
  readonly #driver: Driver;
  readonly #target: Target;
  readonly #faults: string[] = [];
  readonly #lines: string[] = [];
  readonly #yaml: string;
  #weir: RunningWeir;

  private constructor(
    options: RunOptions,
    parts: {
      random: Random;
      origin: VersionedOrigin;
      driver: Driver;
      target: Target;
      yaml: string;
      weir: RunningWeir;
    },
  ) {
    this.#options = options;
    this.#random = parts.random;
    this.#origin = parts.origin;
    this.#driver = parts.driver;
    this.#target = parts.target;
    this.#yaml = parts.yaml;
    this.#weir = parts.weir;
  }

  static async open(options: RunOptions): Promise<Scene> {
    const random = new Random(options.seed);
    const origin = await VersionedOrigin.start({
      random: random.fork(),
      slownessMs: 40,
      character: 'plain',
      validator: 'etag',
      lagMs: 0,
      versionHeader: null,
      ...options.origin,
    });
    const [port, adminPort] = await Promise.all([freePort(), freePort()]);
    const target: Target = {
      url: `http://127.0.0.1:${port}`,
      adminUrl: `http://127.0.0.1:${adminPort}`,
      random: random.fork(),
    };
    const driver = await options.driver(target);
    const yaml = configuration(options, origin, driver, port, adminPort);
    const weir = await startWeir(yaml, { env: ENVIRONMENT });
    return new Scene(options, { random, origin, driver, target, yaml, weir });
  }

  async play(): Promise<RunResult> {
    const { durationMs, origin, writers = 3, proves = true, maxSilenceMs = 1_000 } = this.#options;
    const reading = new AbortController();
    const writing = new AbortController();
    const { url } = this.#target;
    const all = [
      readWhile(reading.signal, READERS, url, this.#history, this.#random.fork(), this.#origin.options),
      ...Array.from({ length: writers }, () => this.#write(writing.signal, this.#random.fork())),
      this.#watch(reading.signal),
    ];
    const conclusive = this.#causeFaults(performance.now() + durationMs).then(() => this.#untilConclusive());
    await Promise.race([conclusive, Promise.all(all)]);
    writing.abort();
    // The readers go on for a while after the last change.
    await delay(500);
    reading.abort();
    await Promise.all(all);
    const originLagMs = origin?.lagMs ?? 0;
    const tracked = this.#driver.feed !== null && proves;
    const knownAfterMs = tracked ? maxSilenceMs * 1.5 + originLagMs + SLACK_MS : Infinity;
    const weirLines = [...this.#lines, ...this.#weir.lines];
    const { isConclusive = (history: History) => history.isConclusive } = this.#options;
    return {
      history: this.#history,
      sentAnswers: this.#origin.sentAnswers,
      isConclusive: isConclusive(this.#history),
      bounds: { knownAfterMs, originLagMs },
      faults: this.#faults,
      weirLines,
    };
  }

  async close(): Promise<void> {
    this.#weir.signal('SIGCONT');
    await this.#weir.stop();
    await this.#driver.stop();
    await this.#origin.stop();
  }

  async #write(signal: AbortSignal, random: Random): Promise<void> {
    const pauseMs = this.#options.writerPauseMs ?? 30;
    while (!signal.aborted) {
      const keys = this.#origin.somePair(random);
      const versions = this.#origin.commit(keys, performance.now());
      const { position, isInForce } = await this.#driver.publish(keys);
      const nowMs = performance.now();
      if (position !== null) this.#origin.committedAt(position, nowMs);
      const writes = this.#history.written(versions, nowMs, position);
      if (isInForce) for (const write of writes) write.inForceAtMs = nowMs;
      const { length: readBefore } = this.#history.reads;
      await delay(random.between(0, pauseMs));
      await this.#until(
        () => signal.aborted || this.#history.reads.length >= readBefore + READS_BETWEEN,
        LONGEST_PAUSE_MS,
      );
    }
  }

  #untilConclusive(): Promise<void> {
    const { isConclusive = (history: History) => history.isConclusive } = this.#options;
    return this.#until(() => isConclusive(this.#history), PATIENCE_MS);
  }

  async #until(holds: () => boolean, mostMs: number): Promise<void> {
    const endMs = performance.now() + mostMs;
    while (!holds() && performance.now() < endMs) await delay(POLL_MS);
  }

  /** Records what Weir reports: how far the feed is applied, and when it was last proved to be at its head. */
  async #watch(signal: AbortSignal): Promise<void> {
    const { feed } = this.#driver;
    if (feed === null) return;
    let pending = 0;
    while (!signal.aborted) {
      const askedAtMs = performance.now();
      const status = await feedStatus(this.#target.adminUrl);
      const { writes } = this.#history;
      if (status !== null) {
        const nowMs = performance.now();
        const isProved = this.#options.proves !== false && status.state === 'live' && status.silence !== null;
        const provedAtMs = isProved ? askedAtMs - status.silence! * 1000 - 1 - feed.pushDelayMs : -Infinity;
        for (const write of writes.slice(pending)) {
          const isApplied =
            write.position !== null &&
            status.position !== null &&
            (feed.adapter.comparePositions(status.position, write.position) ?? -1) >= 0;
          if (isApplied || write.publishedAtMs < provedAtMs) {
            write.inForceAtMs = Math.min(write.inForceAtMs, nowMs);
          }
        }
        while (pending < writes.length && writes[pending]!.inForceAtMs < Infinity) pending += 1;
      }
      await delay(POLL_MS);
    }
  }

  async #causeFaults(untilMs: number): Promise<void> {
    const { weirFaults, driverFaults } = this.#options;
    const faults: Fault[] = [
      ...this.#driver.faults.filter(({ name }) => driverFaults?.includes(name) ?? true),
      ...weirFaults.map((name) => this.#weirFault(name)),
    ];
    let next = 0;
    for (;;) {
      await delay(Math.min(this.#random.between(300, 1_500), Math.max(0, untilMs - performance.now())));
      if (performance.now() >= untilMs) return;
      if (faults.length === 0) continue;
      // Each fault once, then at random.
      const fault = next < faults.length ? faults[next]! : this.#random.pick(faults);
      next += 1;
      this.#faults.push(`${performance.now().toFixed(0)} ${fault.name}`);
      await fault.happen(this.#random);
    }
  }

  #weirFault(name: 'kill' | 'worker' | 'stop'): Fault {
    switch (name) {
      case 'kill':
        return { name: 'weir killed', happen: (random) => this.#killAndRestart(random) };
      case 'worker':
        return {
          name: 'worker died',
          happen: () => Promise.resolve(this.#weir.signal('SIGUSR2')),
        };
      case 'stop':
        return { name: 'weir stopped', happen: () => this.#stopAndContinue() };
      default:
        return name satisfies never;
    }
  }

  async #killAndRestart(random: Random): Promise<void> {
    await this.#weir.kill();
    // What Weir had learnt and not yet written is lost.
    this.#origin.sentAnswers.length = 0;
    this.#lines.push(...this.#weir.lines);
    await delay(random.between(0, 2_500));
    const spawnedAtMs = performance.now();
    // Until its feed is live, Weir revalidates everything that it finds on disk.
    if (this.#driver.feed !== null) this.#history.allInForce(spawnedAtMs, spawnedAtMs);
    this.#weir = await startWeir(this.#yaml, { env: ENVIRONMENT, folder: this.#weir.folder });
  }

  async #stopAndContinue(): Promise<void> {
    this.#weir.signal('SIGSTOP');
    await delay(3 * (this.#options.maxSilenceMs ?? 1_000));
    this.#weir.signal('SIGCONT');
  }
}

const ENVIRONMENT = { NODE_OPTIONS: `--import ${PRELOAD}` };

function configuration(
  { readLagMs = 0, maxSilenceMs = 1_000, versionField, origin: given, cache: own }: RunOptions,
  origin: VersionedOrigin,
  { feed }: Driver,
  port: number,
  adminPort: number,
): string {
  const version = given?.versionHeader ? `, version-header: ${given.versionHeader}` : '';
  const cache =
    own ??
    (feed === null
      ? '{ freshness: headers }'
      : `{ freshness: until-changed, feed: changes, on-feed-loss: revalidate${version} }`);
  const field = versionField === undefined ? '' : `version-field: ${versionField}, `;
  const map = `${field}map: [{ invalidate: { tags: ["k:{key}"] } }]`;
  const feeds =
    feed === null
      ? ''
      : `feeds:\n  changes: { ${feed.yaml}, max-silence: ${maxSilenceMs}ms, read-lag: ${readLagMs}ms, ${map} }\n`;
  return (
    `listen: { port: ${port}, workers: 2 }\nadmin: { port: ${adminPort} }\nlog: { level: info }\n` +
    `origins: { shop: { url: "${origin.url}", max-processing: 5s } }\n${feeds}` +
    `routes:\n  - { name: items, match: /*, cache: ${cache} }\n`
  );
}

interface FeedStatus {
  readonly state: string;
  readonly position: string | null;
  readonly silence: number | null;
}

async function feedStatus(adminUrl: string): Promise<FeedStatus | null> {
  try {
    const response = await fetch(`${adminUrl}/feeds`, { signal: AbortSignal.timeout(5_000) });
    const { feeds } = (await response.json()) as { feeds: FeedStatus[] };
    return feeds[0] ?? null;
  } catch {
    // Weir is down or stopped.
    return null;
  }
}
