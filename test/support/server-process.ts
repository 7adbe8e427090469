import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endWithTests } from './end-with-tests.ts';
import { freePort } from './free-port.ts';

/** A server that a test starts: its folder, its process, and the faults that the test causes. */
export class ServerProcess {
  readonly folder: string;
  readonly port: number;
  readonly #program: string;
  readonly #parameters: readonly string[];
  #child: ChildProcess | null = null;
  #output = '';
  #copy: string | null = null;

  /** `folder` is removed at the end. The server listens on `port` of 127.0.0.1. */
  constructor(program: string, parameters: readonly string[], folder: string, port: number) {
    this.folder = folder;
    this.port = port;
    this.#program = program;
    this.#parameters = parameters;
  }

  /** Resolves when it accepts connections. `elsewhere`: it listens on another port, which this flag sets. */
  async start(elsewhere: { readonly flag: string; readonly port: number } | null = null): Promise<void> {
    const moved = elsewhere === null ? [] : [elsewhere.flag, String(elsewhere.port)];
    const child = spawn(this.#program, [...this.#parameters, ...moved], {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    endWithTests(child);
    this.#child = child;
    this.#output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-4_000);
      });
    }
    while (!(await accepts(elsewhere?.port ?? this.port))) {
      if (child.exitCode !== null || child.signalCode !== null) {
        throw new Error(`${this.#program} ended at its start: ${this.#output}`);
      }
    }
  }

  /** Ends it as a crash does, or with `signal`; its folder remains. */
  async end(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGCONT');
    child.kill(signal);
    await ended;
  }

  async restart(): Promise<void> {
    await this.end('SIGTERM');
    await this.start();
  }

  /** Makes a copy of its folder. It is stopped for the copy and started again. */
  async copy(): Promise<void> {
    await this.end('SIGTERM');
    this.#copy ??= await mkdtemp(join(tmpdir(), 'weir-copy-'));
    await replaceFolder(this.#copy, this.folder);
    await this.start();
  }

  /**
   * Ends it, restores the copy of its folder, and starts it again: first on another port, which `flag` sets,
   * for `work`.
   */
  async restore(flag: string, work: (port: number) => Promise<void>): Promise<void> {
    await this.end();
    await replaceFolder(this.folder, this.#copy!);
    const port = await freePort();
    await this.start({ flag, port });
    await work(port);
    await this.end('SIGTERM');
    await this.start();
  }

  /** Connections stay open and nothing is answered. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    await this.end();
    for (const folder of [this.folder, this.#copy]) {
      if (folder !== null) await rm(folder, { recursive: true, force: true });
    }
  }
}

/** Replaces the content; the folder itself remains, for processes whose working directory it is. */
async function replaceFolder(folder: string, source: string): Promise<void> {
  for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true });
  await cp(source, folder, { recursive: true, preserveTimestamps: true });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // The connection was refused, so it does not listen yet. The next try comes a turn later, so that a child
    // that ended is noticed.
    socket.once('error', () => setTimeout(() => resolve(false), 5));
  });
}
