import { execFile, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { promisify } from 'node:util';
import { Producer } from '@platformatic/kafka';
import { freePort } from './free-port.ts';
import { requireProgram } from './programs.ts';
import { endWithTests } from './end-with-tests.ts';

const HEADER = '/usr/include/librdkafka/rdkafka_mock.h';
/** How much the mock keeps of a partition; it deletes older records. */
const RETAINED_BYTES = 5 * 2 ** 20;

/**
 * The reason why there can be no cluster here; null if there can. The mock is compiled from `kafka-mock.c`.
 */
export function kafkaMockSkip(): string | null {
  const compiler = requireProgram('gcc');
  if (compiler.kind === 'missing') return compiler.reason;
  if (existsSync(HEADER)) return null;
  const reason = 'librdkafka-dev is not installed';
  if (process.env['CI'] === 'true') throw new Error(reason);
  console.warn(`skipped: ${reason}`);
  return reason;
}

let program: Promise<string> | null = null;

/** Compiled once for each process that runs tests, and deleted when it ends. */
async function compile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'weir-kafka-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const target = join(folder, 'kafka-mock');
  const source = join(import.meta.dirname, 'kafka-mock.c');
  await promisify(execFile)('gcc', ['-rdynamic', '-o', target, source, '-lrdkafka']);
  return target;
}

export interface KafkaMessage {
  readonly value: string | null;
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Milliseconds since 1970; absent: now. */
  readonly timestamp?: number;
}

/**
 * librdkafka's mock cluster in a process of its own. Debian has no Kafka broker, but the mock speaks the
 * protocol.
 */
export class KafkaMock {
  readonly ports: readonly number[];
  readonly #program: string;
  #child: ChildProcessWithoutNullStreams | null = null;
  #lines: Interface | null = null;
  /** Each cluster on these addresses has the same id. */
  readonly #hasSameId: boolean;

  private constructor(program: string, ports: readonly number[], hasSameId: boolean) {
    this.#hasSameId = hasSameId;
    this.#program = program;
    this.ports = ports;
  }

  static async start(brokerCount = 1, { hasSameId = false } = {}): Promise<KafkaMock> {
    program ??= compile();
    const ports = await Promise.all(Array.from({ length: brokerCount }, freePort));
    const mock = new KafkaMock(await program, ports, hasSameId);
    await mock.#run();
    return mock;
  }

  get brokers(): string[] {
    return this.ports.map((port) => `127.0.0.1:${port}`);
  }

  /** One of: `create TOPIC PARTITIONS`, `leader TOPIC PARTITION BROKER`, `down BROKER`, `up BROKER`, `delay MS`,
   * `topic-error TOPIC CODE`, `error API CODE COUNT`. Brokers count from 1; −1 is all of them. */
  async command(command: string): Promise<void> {
    this.#child!.stdin.write(`${command}\n`);
    const [answer] = (await once(this.#lines!, 'line')) as [string];
    if (answer !== 'ok') throw new Error(`${command}: ${answer}`);
  }

  async create(topic: string, partitions: number): Promise<void> {
    await this.command(`create ${topic} ${partitions}`);
  }

  /** Sends one request for each batch; resolves when all are written. */
  async produce(
    topic: string,
    partition: number,
    ...batches: readonly (readonly KafkaMessage[])[]
  ): Promise<void> {
    const producer = new Producer({ clientId: 'test', bootstrapBrokers: this.brokers, retries: 0 });
    try {
      for (const batch of batches) {
        const messages = batch.map((message) => toSend(topic, partition, message));
        await producer.send({ acks: -1, messages });
      }
    } finally {
      await producer.close();
    }
  }

  /** Writes so much that the mock deletes what was in the partition. */
  async forget(topic: string, partition: number): Promise<void> {
    const value = JSON.stringify({ padding: 'x'.repeat(512 * 1024) });
    const count = RETAINED_BYTES / (512 * 1024) + 2;
    await this.produce(topic, partition, ...Array.from({ length: count }, () => [{ value }]));
  }

  /** Cuts every connection; new ones are accepted at once. */
  async cut(): Promise<void> {
    await this.down();
    await this.up();
  }

  async down(): Promise<void> {
    await this.command('down -1');
  }

  async up(): Promise<void> {
    await this.command('up -1');
  }

  /** From now on every response is delayed by this time. */
  async delay(ms: number): Promise<void> {
    await this.command(`delay ${Math.round(ms)}`);
  }

  /** A new, empty cluster at the old addresses. */
  async replace(): Promise<void> {
    await this.#end();
    await this.#run();
  }

  /** Connections stay open and nothing is answered. */
  pause(): void {
    this.#child!.kill('SIGSTOP');
  }

  resume(): void {
    this.#child!.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    await this.#end();
  }

  async #run(): Promise<void> {
    const child = spawn(this.#program, this.ports.map(String), {
      env: this.#hasSameId ? { ...process.env, KAFKA_MOCK_SAME_ID: '1' } : process.env,
    });
    endWithTests(child);
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    this.#child = child;
    this.#lines = createInterface(child.stdout);
    const started = await Promise.race([once(this.#lines, 'line'), once(child, 'exit')]);
    if (typeof started[0] !== 'string' || child.exitCode !== null) throw new Error(`kafka-mock: ${errors}`);
  }

  async #end(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await ended;
  }
}

function toSend(topic: string, partition: number, { value, key, headers, timestamp }: KafkaMessage) {
  return {
    topic,
    partition,
    // The producer's types have no tombstones, although its protocol does.
    value: (value === null ? null : Buffer.from(value)) as Buffer,
    ...(key === undefined ? {} : { key: Buffer.from(key) }),
    ...(timestamp === undefined ? {} : { timestamp: BigInt(timestamp) }),
    headers: new Map(
      Object.entries(headers ?? {}).map(([name, text]) => [Buffer.from(name), Buffer.from(text)] as const),
    ),
  };
}
