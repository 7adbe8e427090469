/** A server in a row, with its measurements. */
import { fieldValue } from '../../policies/http/fields.ts';
import { Client } from '../exchange.ts';
import { processorSecondsOfAll, processTree, threadTimes, type ThreadTime } from '../processor-time.ts';
import type { Stage } from '../scenario.ts';
import { CONNECTIONS, fillStore, OVERFILL } from './filling.ts';
import { figuresOf, type Round, type ServerFigures } from './figures.ts';
import { after, pathsOf } from './requests.ts';
import { entriesIn, type ComparedRow } from './rows.ts';
import type { OriginUnderTest, RunningServer, Server } from './server.ts';
import { runWrk, type Requests, type WrkResult } from './wrk.ts';

/** The warm-up lets V8 compile the code: this many requests, or this long. */
const WARM_REQUESTS = 20_000;
const MOST_WARM_LOADS = 4;
const WARM_LOAD_SECONDS = 2;
/** The share of requests that may reach or miss the origin contrary to the row's definition. */
const STRAY_SHARE = 0.01;

export type PacedLoad = Awaited<ReturnType<Stage['pacedLoad']>>;

export class Contender {
  readonly #title: string;
  readonly #isCache: boolean;
  readonly #row: ComparedRow;
  readonly #origin: OriginUnderTest;
  readonly #running: RunningServer;
  readonly #fields: Readonly<Record<string, string>>;
  #requests: Requests;
  readonly #rounds: Round[] = [];
  readonly #pacedP99Ms: number[] = [];
  /** Sums over all rounds. */
  #answered = 0;
  #failures = 0;
  #originRequests = 0;
  /** Entries that came to the disk; null: the server does not report them. */
  #stored: number | null = null;

  private constructor(
    { title, name }: Server,
    row: ComparedRow,
    origin: OriginUnderTest,
    running: RunningServer,
  ) {
    this.#title = title;
    this.#isCache = name !== 'node';
    this.#row = row;
    this.#origin = origin;
    this.#running = running;
    this.#requests = row.requests;
    this.#fields = row.isConditional
      ? { 'If-None-Match': fieldValue(origin.answer.fields, 'etag') ?? '*' }
      : {};
  }

  static async start(
    server: Server,
    row: ComparedRow,
    origin: OriginUnderTest,
    stage: Stage,
  ): Promise<Contender> {
    return new Contender(server, row, origin, await server.start(stage, row, origin));
  }

  get pid(): number {
    return this.#running.pid;
  }

  /** Stores the row's entries and warms the server up. */
  async warmUp(): Promise<void> {
    const { filled, diskMiB, isConditional } = this.#row;
    const wanted = filled === 'full' ? entriesIn(diskMiB * OVERFILL) : filled;
    const filling = { url: this.#running.url, requests: this.#requests, wanted };
    this.#requests = (await fillStore(filling)).requests;
    await this.#running.settled();
    let warm = 0;
    for (let loads = 0; warm < WARM_REQUESTS && loads < MOST_WARM_LOADS; loads += 1)
      warm += (await this.#load(WARM_LOAD_SECONDS, this.#fields)).requests;
    await this.#running.settled();
    if (isConditional) await this.#expectNotModified();
  }

  async saturate(seconds: number): Promise<void> {
    const { pid } = this.#running;
    const entriesBefore = await this.#running.settled();
    const pids = processTree(pid);
    const originBefore = await this.#origin.requests();
    const threadsBefore = threadTimes(pid);
    const processorBefore = processorSecondsOfAll(pids);
    const { requests, seconds: took, p99Ms, failures } = await this.#load(seconds, this.#fields);
    if (requests === 0) throw new Error(`${this.#title} answered nothing in ${seconds} s`);
    // Writes to disk may end after the responses, and count too.
    const entries = await this.#running.settled();
    const processor = processorSecondsOfAll(pids) - processorBefore;
    this.#answered += requests;
    this.#failures += failures;
    this.#originRequests += (await this.#origin.requests()) - originBefore;
    if (entries !== null) this.#stored = (this.#stored ?? 0) + entries - (entriesBefore ?? 0);
    this.#rounds.push({
      requestsPerSecond: requests / took,
      p99Ms,
      microsPerRequest: (processor * 1e6) / requests,
      threadMicros: entries === null ? new Map() : threadMicros(threadsBefore, threadTimes(pid), requests),
    });
  }

  async pace(load: PacedLoad, perSecond: number, seconds: number): Promise<void> {
    const count = Math.ceil(perSecond * seconds);
    const { latencyMs, failures } = await load({
      url: this.#running.url,
      connections: CONNECTIONS,
      perSecond,
      seconds,
      paths: pathsOf(this.#requests, this.#requests.kind === 'same' ? 1 : count),
      fields: this.#fields,
    });
    this.#requests = after(this.#requests, count);
    this.#failures += failures;
    this.#pacedP99Ms.push(latencyMs.p99);
  }

  figures(): ServerFigures {
    return figuresOf(this.#title, this.#rounds, this.#pacedP99Ms);
  }

  /** Returns the reasons to doubt the figures. */
  doubts(): readonly string[] {
    const { origin, filled, name } = this.#row;
    const doubts: string[] = [];
    const originShare = this.#originRequests / this.#answered;
    const stray = origin === 'all' ? 1 - originShare : originShare;
    if (this.#failures > 0) doubts.push(`${this.#title}: ${this.#failures} requests failed`);
    if (this.#isCache && stray > STRAY_SHARE)
      doubts.push(`${this.#title}: the origin saw ${this.#originRequests} of ${this.#answered} requests`);
    const isStoring = origin === 'all' && filled === 0 && name !== 'pass';
    if (isStoring && this.#stored !== null && this.#stored < this.#answered * (1 - STRAY_SHARE))
      doubts.push(`${this.#title}: ${this.#stored} of ${this.#answered} misses are on disk`);
    return doubts;
  }

  async #load(seconds: number, fields: Readonly<Record<string, string>>): Promise<WrkResult> {
    const result = await runWrk({
      url: this.#running.url,
      connections: CONNECTIONS,
      seconds,
      requests: this.#requests,
      fields,
    });
    // Paths whose requests were sent but not answered are not used again.
    this.#requests = after(this.#requests, result.requests + CONNECTIONS);
    return result;
  }

  async #expectNotModified(): Promise<void> {
    const client = new Client();
    const path = pathsOf(this.#requests, 1)[0]!;
    const { status } = await client.ask(`${this.#running.url}${path}`, { headers: this.#fields });
    client.close();
    if (status !== 304) throw new Error(`${this.#title} answers a condition that holds with ${status}`);
  }
}

/** Returns the processor time a request by the purpose of threads, in microseconds. */
export function threadMicros(
  before: ReadonlyMap<number, ThreadTime>,
  later: ReadonlyMap<number, ThreadTime>,
  requests: number,
): ReadonlyMap<string, number> {
  const micros = new Map<string, number>();
  for (const [id, thread] of later) {
    const seconds = thread.seconds - (before.get(id)?.seconds ?? 0);
    const purpose = purposeOf(thread);
    micros.set(purpose, (micros.get(purpose) ?? 0) + (seconds * 1e6) / requests);
  }
  return micros;
}

/** A thread without a name of its own has the name of its parent: the main thread starts LMDB's writer. */
function purposeOf({ name, isFirst }: ThreadTime): string {
  if (isFirst) return 'coordinator';
  if (name.toLowerCase().startsWith('worker')) return 'workers';
  if (name === 'MainThread') return 'LMDB';
  if (name === 'V8Worker') return 'V8';
  if (name.startsWith('libuv-worker')) return 'thread pool';
  return name;
}
