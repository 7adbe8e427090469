import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from 'redis';
import { freePort } from './free-port.ts';
import { ServerProcess } from './server-process.ts';

/** A Redis server for one test that keeps its data over a restart. */
export class RedisServer {
  readonly #process: ServerProcess;
  readonly #password: string | null;

  readonly #port: number;

  private constructor(process: ServerProcess, password: string | null, port = process.port) {
    this.#process = process;
    this.#password = password;
    this.#port = port;
  }

  /** `parameters`: in addition to those of every such server, such as `--requirepass`. */
  static async start(program: string, parameters: readonly string[] = []): Promise<RedisServer> {
    const folder = await mkdtemp(join(tmpdir(), 'weir-redis-'));
    const port = await freePort();
    const all = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', ''];
    const durable = ['--appendonly', 'yes', '--appendfsync', 'always'];
    const process = new ServerProcess(program, [...all, ...durable, ...parameters], folder, port);
    await process.start();
    const password = parameters[parameters.indexOf('--requirepass') + 1];
    const server = new RedisServer(process, parameters.includes('--requirepass') ? password! : null);
    await server.#untilLoaded();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#port}`;
  }

  get folder(): string {
    return this.#process.folder;
  }

  /** Runs commands in order, on a separate connection. */
  async run(...commands: readonly (readonly string[])[]): Promise<unknown[]> {
    const client = createClient({
      url: this.url,
      ...(this.#password === null ? {} : { password: this.#password }),
      socket: { reconnectStrategy: false },
    });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return await Promise.all(commands.map((command) => client.sendCommand(command)));
    } finally {
      client.destroy();
    }
  }

  async restart(): Promise<void> {
    await this.#process.restart();
    await this.#untilLoaded();
  }

  /** Makes a copy of its data. */
  async copy(): Promise<void> {
    await this.#process.copy();
    await this.#untilLoaded();
  }

  /**
   * Ends it, restores the copy, and starts it again. The commands run while clients can't find the server.
   */
  async restore(...commands: readonly (readonly string[])[]): Promise<void> {
    await this.#process.restore('--port', async (port) => {
      const hidden = new RedisServer(this.#process, this.#password, port);
      await hidden.#untilLoaded();
      await hidden.run(...commands);
    });
    await this.#untilLoaded();
  }

  /** Ends it without restarting it. */
  end(): Promise<void> {
    return this.#process.end();
  }

  pause(): void {
    this.#process.pause();
  }

  resume(): void {
    this.#process.resume();
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }

  /** The server accepts connections while it still reads its file. */
  async #untilLoaded(): Promise<void> {
    for (;;) {
      try {
        await this.run(['DBSIZE']);
        return;
      } catch (error) {
        if (!(error instanceof Error && error.message.startsWith('LOADING'))) throw error;
      }
    }
  }
}
