/** A scenario of the bench, and the processes and measurements that it uses. */
import type { BareAnswer } from './processes/bare-server.ts';
import { Child } from './processes/child.ts';
import type { LoadPlan, LoadResult } from './processes/load.ts';
import type { OriginQuestion, OriginStatus } from './processes/origin.ts';
import type { PacedPlan } from './processes/paced-load.ts';
import type { CommitsAnswer, CommitsQuestion } from './processes/synced-commits.ts';
import { Weir, type WeirSetting } from './processes/weir.ts';
import { processorSeconds } from './processor-time.ts';
import type { LoadRow, ScenarioResult } from './report.ts';

export interface ScenarioOptions {
  /** The duration of the measurement, in all. */
  readonly seconds: number;
  /** The number of stored entries; null: the scenario's default. */
  readonly entries: number | null;
  /** Run at full size, which can take minutes. */
  readonly long: boolean;
  readonly seed: number;
  readonly profileFolder: string | null;
}

export interface Scenario {
  readonly name: string;
  /** One sentence that says what the scenario shows. */
  readonly shows: string;
  run(stage: Stage, options: ScenarioOptions): Promise<ScenarioResult>;
}

/** Starts the processes of one scenario on free loopback ports, and ends all of them. */
export class Stage {
  readonly #profileFolder: string | null;
  readonly #ends: (() => Promise<void>)[] = [];
  #isOver = false;

  constructor(profileFolder: string | null) {
    this.#profileFolder = profileFolder;
  }

  async origin(launcher: readonly string[] = []): Promise<Origin> {
    const child = await this.#start<OriginQuestion, OriginStatus>('origin.ts', [], launcher);
    const { port } = await child.ask('status');
    return { port, requests: async () => (await child.ask('status')).requests };
  }

  async weir(setting: Omit<WeirSetting, 'profileFolder'>): Promise<Weir> {
    const weir = await Weir.start({ ...setting, profileFolder: this.#profileFolder });
    await this.keep(() => weir.stop());
    return weir;
  }

  /** A server that sends this response to every request. `launcher` stands before the command. */
  async bareServer(
    answer: BareAnswer,
    launcher: readonly string[] = [],
  ): Promise<{ readonly url: string; readonly pid: number }> {
    const child = await this.#start<BareAnswer, number>('bare-server.ts', [], launcher);
    return { url: `http://127.0.0.1:${await child.ask(answer)}`, pid: child.pid };
  }

  async load(): Promise<Load> {
    const child = await this.#start<LoadPlan, LoadResult>('load.ts');
    return (plan) => child.ask(plan, plan.seconds * 1000);
  }

  /** Runs a plan at a fixed rate. */
  async pacedLoad(): Promise<(plan: PacedPlan) => Promise<LoadResult>> {
    const child = await this.#start<PacedPlan, LoadResult>('paced-load.ts');
    return (plan) => child.ask(plan, plan.seconds * 1000);
  }

  /** Runs synced commits and invalidations on files in `folder`. */
  async commits(folder: string): Promise<(commits: number) => Promise<CommitsAnswer>> {
    const child = await this.#start<CommitsQuestion, CommitsAnswer>('synced-commits.ts', [folder]);
    return (commits) => child.ask(commits);
  }

  /** Registers a function that the stage calls when it ends. If it has ended already, calls it at once and rejects. */
  async keep(end: () => Promise<void>): Promise<void> {
    this.#ends.push(end);
    if (!this.#isOver) return;
    await this.end();
    throw new Error('interrupted');
  }

  /** Ends all processes in reverse order. No further process is started. */
  async end(): Promise<void> {
    this.#isOver = true;
    for (const end of this.#ends.splice(0).toReversed()) await end();
  }

  async #start<Question, Answer>(
    file: string,
    parameters: readonly string[] = [],
    launcher: readonly string[] = [],
  ): Promise<Child<Question, Answer>> {
    const child = await Child.start<Question, Answer>(file, parameters, launcher);
    await this.keep(() => child.end());
    return child;
  }
}

export type Load = (plan: LoadPlan) => Promise<LoadResult>;

export interface Origin {
  readonly port: number;
  requests(): Promise<number>;
}

/** The request fields that every load sends, the same to all compared servers. */
export const CLIENT_FIELDS: Readonly<Record<string, string>> = {
  Accept: '*/*',
  'Accept-Encoding': 'gzip, br',
  'User-Agent': 'weir-bench',
};

/** Runs a plan and measures the server process `pid` and the origin. */
export async function measure(
  name: string,
  load: Load,
  plan: LoadPlan,
  measured: { readonly pid: number; readonly origin: Origin | null },
): Promise<LoadRow> {
  const { pid, origin } = measured;
  const originBefore = (await origin?.requests()) ?? 0;
  const processorBefore = processorSeconds(pid);
  const { requests, seconds, failures, latencyMs } = await load(plan);
  const processor = processorSeconds(pid) - processorBefore;
  const originRequests = ((await origin?.requests()) ?? 0) - originBefore;
  return {
    name,
    requests,
    failures,
    requestsPerSecond: requests / seconds,
    latencyMs,
    originRequests: origin === null ? null : originRequests,
    offload: origin === null ? null : 1 - originRequests / requests,
    processorMicrosPerRequest: (processor * 1e6) / requests,
  };
}
