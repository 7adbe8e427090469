import { writeFile, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jetstream, jetstreamManager, type JetStreamClient, type JetStreamManager } from '@nats-io/jetstream';
import { connect, type NodeConnectionOptions } from '@nats-io/transport-node';
import { freePort } from './free-port.ts';
import { ServerProcess } from './server-process.ts';

/** How long an answer of a busy machine may take. */
const ANSWER_MS = 30_000;

/** A NATS server of the test's own, with JetStream, that keeps its streams over a restart. */
export class NatsServer {
  readonly #process: ServerProcess;

  private constructor(process: ServerProcess) {
    this.#process = process;
  }

  /** `configuration`: what its file holds beside JetStream; `{folder}` stands for its folder. */
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

  /** Does something to its streams, on a connection of its own. */
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

  /** Keeps a copy of its streams. */
  copy(): Promise<void> {
    return this.#process.copy();
  }

  /** Ends it, puts back what was copied, and starts it again; `work` is done where nobody else looks for it. */
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
