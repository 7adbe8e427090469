/**
 * A process that sends requests at a fixed rate, whether or not earlier ones were answered. A latency counts from the time
 * at which the request was due, so that it includes the wait for a free connection.
 */
import { connect, type Socket } from 'node:net';
import { createHistogram } from 'node:perf_hooks';
import { answerParent } from './child.ts';
import type { LoadResult } from './load.ts';

export interface PacedPlan {
  readonly url: string;
  readonly connections: number;
  readonly perSecond: number;
  readonly seconds: number;
  /** Requested in turn, repeatedly. */
  readonly paths: readonly string[];
  readonly fields: Readonly<Record<string, string>>;
}

/** The longest wait for responses at the end. */
const LAST_MS = 10_000;
const TICK_MS = 1;
const HEAD_END = '\r\n\r\n';
const LENGTH = /\r\ncontent-length: *(\d+)/i;
const WITHOUT_CONTENT = new Set(['204', '304']);

void answerParent(run);

async function run(plan: PacedPlan): Promise<LoadResult> {
  const { perSecond, seconds, paths } = plan;
  const { hostname, port, host } = new URL(plan.url);
  const lines = Object.entries({ Host: host, ...plan.fields }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  const tail = ` HTTP/1.1\r\n${lines.join('')}\r\n`;
  const latencies = createHistogram();
  const idle: Connection[] = [];
  /** The due times of requests that wait for a free connection. */
  const waiting: number[] = [];
  let next = 0;
  let failures = 0;
  let isOver = false;
  const send = (connection: Connection, dueMs: number): void => {
    connection.ask(`GET ${paths[next++ % paths.length]}${tail}`, dueMs);
  };
  const settle = (connection: Connection, dueMs: number, isGood: boolean): void => {
    latencies.record(Math.max(1, Math.round((performance.now() - dueMs) * 1000)));
    if (!isGood) failures += 1;
    const due = waiting.shift();
    if (due === undefined) idle.push(connection);
    else send(connection, due);
  };
  const lost = (): void => {
    if (!isOver) failures += 1;
  };
  const all = Array.from(
    { length: plan.connections },
    () => new Connection(connect(Number(port), hostname), settle, lost),
  );
  idle.push(...all);
  const startedAt = performance.now();
  let due = 0;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const now = performance.now();
      const elapsedMs = now - startedAt;
      const isPast = elapsedMs >= seconds * 1000;
      const dueNow = Math.floor((Math.min(elapsedMs, seconds * 1000) * perSecond) / 1000);
      for (; due < dueNow; due += 1) {
        const connection = idle.pop();
        if (connection === undefined) waiting.push(now);
        else send(connection, now);
      }
      const isAnswered = latencies.count >= due;
      if (!isPast || (!isAnswered && elapsedMs < seconds * 1000 + LAST_MS)) return;
      clearInterval(timer);
      resolve();
    }, TICK_MS);
  });
  isOver = true;
  for (const connection of all) connection.close();
  return {
    requests: latencies.count,
    seconds,
    failures: failures + (due - latencies.count),
    latencyMs: {
      p50: latencies.percentile(50) / 1000,
      p99: latencies.percentile(99) / 1000,
      max: latencies.count === 0 ? 0 : latencies.max / 1000,
    },
  };
}

/** A connection with one request at a time. Reads responses with a Content-Length, and 204 and 304. */
class Connection {
  readonly #socket: Socket;
  readonly #settle: (connection: Connection, dueMs: number, isGood: boolean) => void;
  #dueMs = 0;
  /** Of the content; null: the head is incomplete. */
  #missingBytes: number | null = null;
  #head = '';
  #isGood = false;

  constructor(
    socket: Socket,
    settle: (connection: Connection, dueMs: number, isGood: boolean) => void,
    lost: () => void,
  ) {
    this.#socket = socket;
    this.#settle = settle;
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => this.#receive(bytes));
    // The event `close` follows.
    socket.on('error', () => {});
    socket.once('close', lost);
  }

  ask(request: string, dueMs: number): void {
    this.#dueMs = dueMs;
    this.#socket.write(request, 'latin1');
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(bytes: Buffer): void {
    if (this.#missingBytes === null) {
      const known = this.#head.length;
      this.#head += bytes.toString('latin1');
      const headEnd = this.#head.indexOf(HEAD_END);
      if (headEnd < 0) return;
      const head = this.#head.slice(0, headEnd);
      const status = head.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length);
      const length = WITHOUT_CONTENT.has(status) ? 0 : Number(LENGTH.exec(head)?.[1]);
      this.#isGood = status.startsWith('2') || status === '304';
      this.#missingBytes = length - (bytes.length - (headEnd + HEAD_END.length - known));
    } else {
      this.#missingBytes -= bytes.length;
    }
    if (this.#missingBytes > 0) return;
    const isWhole = this.#missingBytes === 0;
    this.#missingBytes = null;
    this.#head = '';
    this.#settle(this, this.#dueMs, this.#isGood && isWhole);
  }
}
