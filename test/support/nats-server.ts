import { writeFile, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jetstream, jetstreamManager, type JetStreamClient, type JetStreamManager } from '@nats-io/jetstream';
import { connect, type NodeConnectionOptions } from '@nats-io/transport-node';
import { freePort } from './free-port.ts';
import { ServerProcess } from './server-process.ts';

/** How long a response of a busy machine may take. */
const ANSWER_MS = 30_000;

/** A NATS server for one test, with JetStream, that keeps its streams over a restart. */
export class NatsServer {
  readonly #process: ServerProcess;

  private constructor(process: ServerProcess) {
    this.#process = process;
  }

  /** `configuration`: the content of its file in addition to JetStream; `{folder}` stands for its folder. */
  static async start(program: string, configuration = ''): Promise<NatsServer> {
    const folder = await mkdtemp(join(tmpdir(), 'weir-nats-'));
    const port = await freePort();
    const file = join(folder, 'nats.conf');
    await writeFile(file, configuration.replaceAll('{folder}', folder));
    const parameters = ['-c', file, '-js', '-sd', folder, '-a', '127.0.0.1', '-p', String(port)];
    const process = new ServerProcess(program, parameters, folder, port);
    await process.start();
    return new NatsServer(process);
  }

  get port(): number {
    return this.#process.port;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  get folder(): string {
    return this.#process.folder;
  }

  /** Changes its streams over a separate connection. */
  async atStreams<T>(
    work: (manager: JetStreamManager, client: JetStreamClient) => Promise<T>,
    options: NodeConnectionOptions = {},
  ): Promise<T> {
    const connection = await connect({ servers: this.url, reconnect: false, ...options });
    try {
      const manager = await jetstreamManager(connection, { checkAPI: false, timeout: ANSWER_MS });
      return await work(manager, jetstream(connection));
    } finally {
      await connection.close();
    }
  }

  restart(): Promise<void> {
    return this.#process.restart();
  }

  /** Makes a copy of its streams. */
  copy(): Promise<void> {
    return this.#process.copy();
  }

  /** Ends it, restores the copy, and starts it again. `work` runs while clients can't find the server. */
  async restore(work: (manager: JetStreamManager, client: JetStreamClient) => Promise<void>): Promise<void> {
    await this.#process.restore('-p', async (port) => {
      await this.atStreams(work, { servers: `nats://127.0.0.1:${port}` });
    });
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
}
