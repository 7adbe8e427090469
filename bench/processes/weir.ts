import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** What of a configuration a scenario chooses. */
export interface WeirSetting {
  readonly originPort: number;
  readonly workers: number;
  /** As in a configuration file. */
  readonly memory: string;
  readonly disk: string;
  /** YAML of the one route's `cache` and `write`. */
  readonly cache?: string;
  readonly write?: string;
  /** Where profiles of its processor time go, when it ends; null: none are taken. */
  readonly profileFolder: string | null;
}

const PROGRAM = fileURLToPath(new URL('../../proxy/cli/weir.ts', import.meta.url));
const START_MS = 30_000;
const STOP_MS = 15_000;

/** A real `weir serve` on free ports, with its files in a temporary folder. */
export class Weir {
  readonly folder: string;
  readonly url: string;
  readonly adminUrl: string;
  readonly #process: ChildProcess;

  private constructor(folder: string, process: ChildProcess, ports: { port: number; adminPort: number }) {
    this.folder = folder;
    this.#process = process;
    this.url = `http://127.0.0.1:${ports.port}`;
    this.adminUrl = `http://127.0.0.1:${ports.adminPort}`;
  }

  /** Rejects, with what it wrote, where it does not listen within 30 s. */
  static async start(setting: WeirSetting): Promise<Weir> {
    const folder = mkdtempSync(join(tmpdir(), 'weir-bench-'));
    const file = join(folder, 'weir.yaml');
    writeFileSync(file, configurationOf(setting));
    const profiling =
      setting.profileFolder === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${setting.profileFolder}`];
    const child = spawn(process.execPath, [...profiling, PROGRAM, 'serve', '--config', file], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    try {
      return new Weir(folder, child, await portsOf(child));
    } catch (error) {
      await end(child);
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  get pid(): number {
    return this.#process.pid!;
  }

  async stats(): Promise<{ readonly disk: { readonly entries: number } | null }> {
    const response = await fetch(`${this.adminUrl}/stats`);
    return (await response.json()) as { disk: { entries: number } | null };
  }

  async stop(): Promise<void> {
    await end(this.#process);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function configurationOf({
  originPort,
  workers,
  memory,
  disk,
  cache = '{}',
  write = '{}',
}: WeirSetting): string {
  return `listen: { port: 0, workers: ${workers} }
admin: { port: 0 }
cache: { memory: ${memory}, disk: { path: ./data, size: ${disk} } }
origins: { bench: { url: "http://127.0.0.1:${originPort}" } }
routes: [{ name: all, match: /*, cache: ${cache}, write: ${write} }]
`;
}

/** As the log line with the event `listening` has them. */
async function portsOf(child: ChildProcess): Promise<{ port: number; adminPort: number }> {
  const lines: string[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<{ port: number; adminPort: number }>();
  const timer = setTimeout(() => reject(new Error(`weir does not listen:\n${lines.join('\n')}`)), START_MS);
  child.once('exit', () => reject(new Error(`weir ended:\n${lines.join('\n')}`)));
  for (const stream of [child.stdout!, child.stderr!]) {
    createInterface({ input: stream }).on('line', (line) => {
      if (lines.length < 100) lines.push(line);
      if (line.includes('"event":"listening"'))
        resolve(JSON.parse(line) as { port: number; adminPort: number });
    });
  }
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await ended;
  clearTimeout(timer);
}
