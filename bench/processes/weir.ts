import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** The part of a configuration that a scenario sets. */
export interface WeirSetting {
  readonly originPort: number;
  readonly workers: number;
  /** Values as in a configuration file. */
  readonly memory: string;
  readonly disk: string;
  /** The YAML of the only route's `cache` and `write`. */
  readonly cache?: string;
  readonly write?: string;
  /** The YAML of further keys of the only origin, and of the journal. */
  readonly origin?: string;
  readonly journal?: string;
  /** The folder for CPU profiles, which are written when the process ends; null: no profiles. */
  readonly profileFolder: string | null;
  /** Words before the command. */
  readonly launcher?: readonly string[];
  /** Options of Node.js, and environment variables in addition to the bench's own. */
  readonly nodeOptions?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const PROGRAM = fileURLToPath(new URL('../../proxy/cli/weir.ts', import.meta.url));
const START_MS = 30_000;
const LOOK_MS = 10;
const STOP_MS = 15_000;

/** A real `weir serve` process on free ports, with its files in a temporary folder. */
export class Weir {
  readonly folder: string;
  readonly #setting: WeirSetting;
  #running: Running;

  private constructor(folder: string, setting: WeirSetting, running: Running) {
    this.folder = folder;
    this.#setting = setting;
    this.#running = running;
  }

  /** Rejects with the process's output if it does not listen within 30 s. */
  static async start(setting: WeirSetting): Promise<Weir> {
    const folder = mkdtempSync(join(tmpdir(), 'weir-bench-'));
    writeFileSync(join(folder, FILE), configurationOf(setting));
    try {
      return new Weir(folder, setting, await launch(folder, setting));
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  get url(): string {
    return `http://127.0.0.1:${this.#running.port}`;
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.#running.adminPort}`;
  }

  /** Kills the process and starts another on its files. Resolves with the seconds from the start until it is ready. */
  async crash(): Promise<number> {
    const { process } = this.#running;
    const ended = once(process, 'exit');
    process.kill('SIGKILL');
    await ended;
    const startedAt = performance.now();
    this.#running = await launch(this.folder, this.#setting);
    while ((await fetch(`${this.adminUrl}/readyz`)).status !== 200);
    return (performance.now() - startedAt) / 1000;
  }

  get pid(): number {
    return this.#running.process.pid!;
  }

  async stats(): Promise<WeirStats> {
    const response = await fetch(`${this.adminUrl}/stats`);
    return (await response.json()) as WeirStats;
  }

  async stop(): Promise<void> {
    await end(this.#running.process);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The members of `GET /stats` that scenarios read. */
interface WeirStats {
  readonly disk: { readonly entries: number; readonly evictions: number } | null;
  readonly writes: { readonly waiting: number };
}

interface Running {
  readonly process: ChildProcess;
  readonly port: number;
  readonly adminPort: number;
}

const FILE = 'weir.yaml';
const LOG = 'weir.log';

async function launch(
  folder: string,
  { profileFolder, launcher = [], nodeOptions = [], env = {} }: WeirSetting,
): Promise<Running> {
  const profiling = profileFolder === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`];
  const log = join(folder, LOG);
  // No pipe: the reader would take processor time from the measured process for each line.
  const file = openSync(log, 'w');
  const [command, ...parameters] = [
    ...launcher,
    process.execPath,
    ...nodeOptions,
    ...profiling,
    PROGRAM,
    'serve',
    '--config',
    join(folder, FILE),
  ];
  const child = spawn(command!, parameters, {
    stdio: ['ignore', file, file],
    env: { ...process.env, ...env },
  });
  closeSync(file);
  try {
    return { process: child, ...(await portsOf(child, log)) };
  } catch (error) {
    await end(child);
    throw error;
  }
}

function configurationOf({
  originPort,
  workers,
  memory,
  disk,
  cache = '{}',
  write = '{}',
  origin = '',
  journal = '{}',
}: WeirSetting): string {
  return `listen: { port: 0, workers: ${workers} }
admin: { port: 0 }
cache: { memory: ${memory}, disk: { path: ./data, size: ${disk} } }
journal: ${journal}
origins: { bench: { url: "http://127.0.0.1:${originPort}"${origin} } }
routes: [{ name: all, match: /*, cache: ${cache}, write: ${write} }]
`;
}

/** The ports, as the log line with the event `listening` has them. */
async function portsOf(child: ChildProcess, log: string): Promise<{ port: number; adminPort: number }> {
  const untilMs = performance.now() + START_MS;
  for (;;) {
    const text = readFileSync(log, 'utf8');
    const line = text.split('\n').find((line) => line.includes('"event":"listening"') && line.endsWith('}'));
    if (line !== undefined) return JSON.parse(line) as { port: number; adminPort: number };
    if (hasEnded(child)) throw new Error(`weir ended:\n${text}`);
    if (performance.now() > untilMs) throw new Error(`weir does not listen:\n${text}`);
    await delay(LOOK_MS);
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function end(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await ended;
  clearTimeout(timer);
}
