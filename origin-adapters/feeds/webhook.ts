import { createHash } from 'node:crypto';
import type { FeedConfig } from '../../policies/config/config.ts';
import { readCloudEvents } from '../formats/cloudevents.ts';
import type { Format } from '../formats/format.ts';
import { formats, messageEvent } from '../formats/formats.ts';
import {
  defineFeed,
  headIntervalMs,
  type FeedDelivery,
  type DeliveryAnswer,
  type Feed,
  type FeedDeps,
  type FeedEvent,
  type FeedReceiver,
} from './feed.ts';
import { webhookSchema, type WebhookOptions } from './webhook/options.ts';
import {
  advance,
  afterGap,
  firstPosition,
  formatPosition,
  parsePosition,
  showPosition,
  type WebhookPosition,
} from './webhook/position.ts';
import { authenticate, keysOf } from './webhook/signature.ts';

/** The maximum number of deliveries that wait to be applied, and of remembered ones that are not applied again. */
const MAX_WAITING = 1_000;
const MAX_WAITING_BYTES = 32 * 2 ** 20;
const MAX_REMEMBERED = 10_000;
const REPORT_INTERVAL_MS = 10_000;

/**
 * Standard Webhooks: signed deliveries in any of the formats. Each delivery is one transaction. It gets 204 once it
 * is applied and durable; otherwise the sender sends it again.
 *
 * A webhook proves nothing about what was not delivered. So a start is a gap, and so is a refused delivery, unless
 * every delivery is a CloudEvent with a `sequence`, which shows missing ones. Between deliveries the feed counts as
 * live while Weir is ready to receive, on the assumption that the sender repeats failed deliveries. With `heartbeats`
 * only deliveries keep it live (one with an empty array is enough).
 *
 * Deliveries are remembered in memory by id and content. One that is repeated after it was forgotten, or after a
 * restart, is applied again, which costs only revalidations.
 */
export const webhookFeed = defineFeed({
  type: 'webhook',
  provesHead: false,
  schema: webhookSchema,
  create: (config, options, deps) => new WebhookFeed(config, options, deps),
  showPosition: (position) => {
    const parsed = parsePosition(position);
    return parsed === null ? position : showPosition(parsed);
  },
  comparePositions: compareCounts,
});

function compareCounts(a: string, b: string): number | null {
  const left = parsePosition(a);
  const right = parsePosition(b);
  if (left === null || right === null) return null;
  if (left.count === right.count) return 0;
  return left.count < right.count ? -1 : 1;
}

interface QueuedDelivery {
  readonly delivery: FeedDelivery;
  readonly receivedAtMs: number;
  readonly answer: (answer: DeliveryAnswer) => void;
}

/** An event that was yielded and is not durable yet. */
interface YieldedEvent {
  readonly count: bigint;
  readonly settle: (answer: DeliveryAnswer) => void;
}

class WebhookFeed implements Feed {
  readonly receiver: FeedReceiver;
  readonly #config: FeedConfig;
  readonly #options: WebhookOptions;
  readonly #deps: FeedDeps;
  readonly #keys: readonly Buffer[];
  readonly #format: Format;
  /** Responses by id and content, oldest first: pending ones and 204s. */
  readonly #answers = new Map<string, Promise<DeliveryAnswer>>();
  #arrived: QueuedDelivery[] = [];
  #yielded: YieldedEvent[] = [];
  #waitingBytes = 0;
  #unauthentic = 0;
  #reportedAtMs = -Infinity;
  #isOpen = false;
  /** Refused deliveries that may not be repeated, and how many of them a durable gap covers. */
  #refused = 0;
  #covered = 0;
  #wake: () => void = ignore;

  constructor(config: FeedConfig, options: WebhookOptions, deps: FeedDeps) {
    this.#config = config;
    this.#options = options;
    this.#deps = deps;
    this.#keys = [options.secret].flat().flatMap(keysOf);
    this.#format = formats[config.format];
    this.receiver = {
      path: options.path,
      maxBodyBytes: options['max-body'],
      receive: (delivery) => this.#receive(delivery),
    };
  }

  async *open(after: string | null, signal: AbortSignal): AsyncGenerator<FeedEvent> {
    const timer = new RepeatingTimer(this.#deps, headIntervalMs(this.#config.maxSilenceMs), () =>
      this.#wake(),
    );
    const onAbort = (): void => this.#wake();
    signal.addEventListener('abort', onAbort);
    this.#isOpen = true;
    try {
      yield* this.#follow(after, signal, timer);
    } finally {
      this.#isOpen = false;
      timer.stop();
      signal.removeEventListener('abort', onAbort);
      this.#refuseAll();
    }
  }

  acknowledge(position: string): void {
    const count = parsePosition(position)?.count ?? 0n;
    const done = this.#yielded.filter((one) => one.count <= count);
    this.#yielded = this.#yielded.filter((one) => one.count > count);
    for (const { settle } of done) settle(accepted);
  }

  async *#follow(
    after: string | null,
    signal: AbortSignal,
    timer: RepeatingTimer,
  ): AsyncGenerator<FeedEvent> {
    let position = (after === null ? null : parsePosition(after)) ?? firstPosition;
    let reason = reasonAtStart(after, position);
    let announced = this.#covered;
    let isHeadDue = true;
    for (;;) {
      if (signal.aborted) return;
      if (this.#refused > announced) reason ??= 'a delivery was refused';
      if (reason !== null) {
        position = afterGap(position);
        announced = this.#refused;
        this.#settleRefusals(position.count, announced);
        yield { kind: 'gap', reason, position: formatPosition(position) };
        reason = null;
        continue;
      }
      const queued = this.#arrived.shift();
      if (queued !== undefined) {
        const next = this.#advance(position, queued.delivery);
        position = next.position;
        this.#settleDelivery(position.count, queued);
        if (next.kind === 'hole') yield { kind: 'gap', reason: next.reason, position: null };
        yield messageEvent(this.#format, queued.delivery, formatPosition(position));
        if (this.#options.heartbeats) yield head(queued.receivedAtMs);
        continue;
      }
      if (isHeadDue) yield this.#readiness();
      await this.#untilWork(timer, signal);
      isHeadDue = timer.takeDue();
    }
  }

  /** A head that means that Weir is ready to receive: the proof of a feed without `heartbeats`. */
  #readiness(): FeedEvent {
    if (this.#options.heartbeats) return { kind: 'behind', events: this.#arrived.length };
    return head(this.#deps.clock.monotonicMs());
  }

  #settleDelivery(count: bigint, queued: QueuedDelivery): void {
    this.#yielded.push({
      count,
      settle: (answer) => {
        this.#waitingBytes -= queued.delivery.body.length;
        queued.answer(answer);
      },
    });
  }

  #settleRefusals(count: bigint, refused: number): void {
    this.#yielded.push({
      count,
      settle: ({ status }) => {
        if (status === 204) this.#covered = Math.max(this.#covered, refused);
      },
    });
  }

  #advance(position: WebhookPosition, delivery: FeedDelivery): ReturnType<typeof advance> {
    if (this.#config.format !== 'cloudevents') return advance(position, null);
    const read = readCloudEvents(delivery);
    return advance(position, read.kind === 'events' ? read.events : null);
  }

  async #untilWork(timer: RepeatingTimer, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#arrived.length > 0 || timer.isDue) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = ignore;
  }

  #receive(delivery: FeedDelivery): Promise<DeliveryAnswer> {
    if (delivery.method !== 'POST') return Promise.resolve(refusal(405, 'deliveries use POST'));
    if (delivery.body.length > this.#options['max-body']) {
      return Promise.resolve(refusal(413, `more than ${this.#options['max-body']} bytes`));
    }
    const { tolerance } = this.#options;
    const nowMs = this.#deps.clock.nowMs();
    const authentication = authenticate(delivery.fields, delivery.body, this.#keys, nowMs, tolerance);
    if (authentication.kind === 'refused') {
      this.#reportUnauthentic(authentication.reason);
      return Promise.resolve(refusal(401, authentication.reason));
    }
    return this.#takeOnce(authentication.id, delivery);
  }

  /** Rate-limited, because anybody can send such deliveries. */
  #reportUnauthentic(reason: string): void {
    this.#unauthentic += 1;
    const nowMs = this.#deps.clock.monotonicMs();
    if (nowMs - this.#reportedAtMs < REPORT_INTERVAL_MS) return;
    this.#deps.log('warn', 'deliveries are not authentic', { reason, times: this.#unauthentic });
    this.#reportedAtMs = nowMs;
    this.#unauthentic = 0;
  }

  /** The same id with other content is another delivery: treated as a repetition, its change would be lost. */
  #takeOnce(id: string, delivery: FeedDelivery): Promise<DeliveryAnswer> {
    const key = createHash('sha256').update(`${id}\n`).update(delivery.body).digest('base64');
    const known = this.#answers.get(key);
    if (known !== undefined) return known;
    const answer = this.#take(delivery);
    this.#answers.set(key, answer);
    void answer.then(({ status }) => {
      if (status !== 204) this.#answers.delete(key);
    });
    this.#forgetOldest();
    return answer;
  }

  #take(delivery: FeedDelivery): Promise<DeliveryAnswer> {
    const isFull =
      this.#arrived.length + this.#yielded.length >= MAX_WAITING ||
      this.#waitingBytes + delivery.body.length > MAX_WAITING_BYTES;
    if (!this.#isOpen || isFull) {
      this.#refused += 1;
      this.#wake();
      return Promise.resolve(tryAgain);
    }
    this.#waitingBytes += delivery.body.length;
    return new Promise((answer) => {
      this.#arrived.push({ delivery, receivedAtMs: this.#deps.clock.monotonicMs(), answer });
      this.#wake();
    });
  }

  #forgetOldest(): void {
    for (const key of this.#answers.keys()) {
      if (this.#answers.size <= MAX_REMEMBERED) return;
      this.#answers.delete(key);
    }
  }

  #refuseAll(): void {
    const open = [...this.#yielded.map((one) => one.settle), ...this.#arrived.map((one) => one.answer)];
    this.#refused += open.length;
    this.#yielded = [];
    this.#arrived = [];
    for (const settle of open) settle(tryAgain);
    this.#waitingBytes = 0;
  }
}

function reasonAtStart(after: string | null, position: WebhookPosition): string | null {
  if (after === null) return 'no position';
  return position.sequences === null ? 'deliveries before the start are unknown' : null;
}

/** Becomes due at regular intervals until it is stopped. */
class RepeatingTimer {
  isDue = false;
  #cancel: () => void = ignore;

  constructor(deps: FeedDeps, intervalMs: number, onDue: () => void) {
    const next = (): void => {
      this.#cancel = deps.clock.schedule(intervalMs, () => {
        this.isDue = true;
        next();
        onDue();
      });
    };
    next();
  }

  takeDue(): boolean {
    const wasDue = this.isDue;
    this.isDue = false;
    return wasDue;
  }

  stop(): void {
    this.#cancel();
  }
}

const accepted: DeliveryAnswer = { status: 204, detail: '' };
const tryAgain = refusal(503, "the delivery can't be accepted now: try again");

function refusal(status: Exclude<DeliveryAnswer['status'], 204>, detail: string): DeliveryAnswer {
  return { status, detail };
}

function head(askedAtMonotonicMs: number): FeedEvent {
  return { kind: 'head', position: null, askedAtMonotonicMs };
}

function ignore(): void {
  // Replaced while a caller waits.
}
