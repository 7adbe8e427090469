import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { endWithTests } from './end-with-tests.ts';

/**
 * Starts Weir as its users do: `weir serve` in a process of its own, with a configuration file in a temporary folder.
 *
 *     const weir = await startWeir(`
 *       origins: { shop: { url: "${origin.url}" } }
 *       routes: [{ name: all, match: /*, cache: { freshness: headers } }]`);
 *     await fetch(`${weir.url}/a`);
 *     await weir.stop();
 *
 * Ports, the disk's path and the log are set where the text does not set them. `restart` keeps the folder.
 */
export interface RunningWeir {
  readonly url: string;
  readonly adminUrl: string;
  readonly port: number;
  readonly pid: number;
  /** Contains the configuration and, unless that says otherwise, the disk's path `data`. */
  readonly folder: string;
  readonly configFile: string;
  /** Lines of standard output and standard error so far. */
  readonly lines: readonly string[];
  /** Log lines with this event, so far. */
  events(name: string): readonly Record<string, unknown>[];
  /**
   * Resolves with the first log line of this event, also one that was written already. `after` skips that
   * many lines.
   */
  event(name: string, after?: number): Promise<Record<string, unknown>>;
  admin(path: string, init?: RequestInit): Promise<Response>;
  stats(): Promise<Record<string, unknown>>;
  /** Writes the file anew and sends SIGHUP. */
  reload(yaml: string): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  /** Resolves with the exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>;
  /** Sends SIGTERM, unless it has ended; the folder is deleted unless `keep`. */
  stop(options?: { readonly keep?: boolean }): Promise<number | NodeJS.Signals>;
  /** Sends SIGKILL; the folder remains. */
  kill(): Promise<void>;
}

export interface StartOptions {
  /** The folder of an earlier run, to start again with its files. */
  readonly folder?: string;
  readonly env?: Readonly<Record<string, string>>;
}

const PROGRAM = fileURLToPath(new URL('../../proxy/cli/weir.ts', import.meta.url));
const NODE = fileURLToPath(new URL('../../node_modules/.bin/node', import.meta.url));

/** Rejects with all of its output if it ends before it listens. */
export async function startWeir(yaml: string, options: StartOptions = {}): Promise<RunningWeir> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'weir-test-'));
  const configFile = join(folder, 'weir.yaml');
  writeFileSync(configFile, withDefaults(yaml));
  const child = spawn(NODE, [PROGRAM, 'serve', '--config', configFile], {
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  endWithTests(child);
  const run = new Run(child, folder, configFile);
  const listening = await Promise.race([run.event('listening'), run.exited]);
  if (typeof listening !== 'object') {
    throw new Error(`weir ended with ${listening}:\n${run.lines.join('\n')}`);
  }
  run.port = listening['port'] as number;
  run.adminPort = listening['adminPort'] as number;
  return run;
}

function withDefaults(yaml: string): string {
  const text = unindented(yaml);
  const more: string[] = [];
  if (!/^listen:/m.test(text)) more.push('listen: { port: 0, workers: 2 }');
  if (!/^admin:/m.test(text)) more.push('admin: { port: 0 }');
  if (!/^cache:/m.test(text)) more.push('cache: { memory: 64MiB, disk: { path: ./data, size: 256MiB } }');
  if (!/^fence:/m.test(text)) more.push('fence: { records: 100000 }');
  return `${more.join('\n')}\n${text}\n`;
}

/** Removes the white space with which all lines begin. */
function unindented(text: string): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const indent = Math.min(...lines.map((line) => line.length - line.trimStart().length));
  return lines.map((line) => line.slice(indent)).join('\n');
}

class Run implements RunningWeir {
  port = 0;
  adminPort = 0;
  readonly folder: string;
  readonly configFile: string;
  readonly lines: string[] = [];
  readonly exited: Promise<number | NodeJS.Signals>;
  readonly #child: ChildProcess;
  readonly #waiting: { name: string; after: number; resolve(line: Record<string, unknown>): void }[] = [];
  readonly #events: Record<string, unknown>[] = [];

  constructor(child: ChildProcess, folder: string, configFile: string) {
    this.#child = child;
    this.folder = folder;
    this.configFile = configFile;
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => this.#read(line));
    }
    this.exited = new Promise((resolve) => {
      child.once('close', (code, signal) => resolve(signal ?? code ?? -1));
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.adminPort}`;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  events(name: string): readonly Record<string, unknown>[] {
    return this.#events.filter((line) => line['event'] === name);
  }

  event(name: string, after = 0): Promise<Record<string, unknown>> {
    const known = this.events(name)[after];
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((resolve) => this.#waiting.push({ name, after, resolve }));
  }

  admin(path: string, init?: RequestInit): Promise<Response> {
    const headers = new Headers(init?.headers);
    if (typeof init?.body === 'string' && !headers.has('content-type'))
      headers.set('content-type', 'application/json');
    return fetch(`${this.adminUrl}${path}`, { ...init, headers });
  }

  async stats(): Promise<Record<string, unknown>> {
    return (await (await this.admin('/stats')).json()) as Record<string, unknown>;
  }

  async reload(yaml: string): Promise<void> {
    writeFileSync(this.configFile, withDefaults(yaml));
    this.signal('SIGHUP');
    await Promise.race([
      this.event('reloaded', this.events('reloaded').length),
      this.event('reload-refused', this.events('reload-refused').length),
    ]);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async stop({ keep = false }: { readonly keep?: boolean } = {}): Promise<number | NodeJS.Signals> {
    this.#child.kill('SIGTERM');
    const code = await this.exited;
    if (!keep) rmSync(this.folder, { recursive: true, force: true });
    return code;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.exited;
  }

  #read(line: string): void {
    this.lines.push(line);
    if (!line.startsWith('{')) return;
    let event: Record<string, unknown>;
    try {
      event = JSON.parse(line) as Record<string, unknown>;
    } catch {
      return;
    }
    this.#events.push(event);
    for (let i = this.#waiting.length - 1; i >= 0; i -= 1) {
      const { name, after, resolve } = this.#waiting[i]!;
      const found = this.events(name)[after];
      if (found === undefined) continue;
      this.#waiting.splice(i, 1);
      resolve(found);
    }
  }
}
