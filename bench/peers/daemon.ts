/** A foreign server that runs in the foreground on one processor. Its files are in a temporary folder. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { processTree } from '../processor-time.ts';
import { onCore } from './place.ts';

const START_MS = 30_000;
const STOP_MS = 10_000;
const LOOK_MS = 20;
const LOG = 'log';

export class Daemon {
  readonly port: number;
  readonly #folder: string;
  readonly #process: ChildProcess;

  private constructor(port: number, folder: string, process: ChildProcess) {
    this.port = port;
    this.#folder = folder;
    this.#process = process;
  }

  /**
   * `command` writes the configuration into the folder and returns the program with its parameters. Rejects with the
   * server's log if the server does not listen on the port within 30 s.
   */
  static async start(
    core: number,
    command: (folder: string, port: number) => readonly [program: string, ...parameters: string[]],
  ): Promise<Daemon> {
    const folder = mkdtempSync(join(tmpdir(), 'weir-bench-peer-'));
    const port = await freePort();
    const log = openSync(join(folder, LOG), 'w');
    const [taskset, ...parameters] = [...onCore(core), ...command(folder, port)];
    const daemon = new Daemon(port, folder, spawn(taskset!, parameters, { stdio: ['ignore', log, log] }));
    closeSync(log);
    try {
      await daemon.#listening();
    } catch (error) {
      await daemon.stop();
      throw error;
    }
    return daemon;
  }

  get pid(): number {
    return this.#process.pid!;
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (!hasEnded(child)) {
      const descendants = processTree(this.pid).slice(1);
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      const timer = setTimeout(() => [this.pid, ...descendants].forEach(kill), STOP_MS);
      await ended;
      clearTimeout(timer);
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #listening(): Promise<void> {
    const untilMs = performance.now() + START_MS;
    while (!(await accepts(this.port))) {
      const log = (): string => readFileSync(join(this.#folder, LOG), 'utf8');
      const program = this.#process.spawnargs[3];
      if (hasEnded(this.#process)) throw new Error(`${program} ended:\n${log()}`);
      if (performance.now() > untilMs) throw new Error(`${program} does not listen:\n${log()}`);
      await delay(LOOK_MS);
    }
  }
}

/** Makes a folder below another one and returns its path. */
export function folderIn(folder: string, name: string): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  return path;
}

/** Returns a free port of the loopback interface. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    // The server does not listen yet.
    return false;
  } finally {
    socket.destroy();
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // The process has ended.
  }
}
