import type {
  Feed,
  FeedAdapter,
  FeedClock,
  FeedEvent,
  FeedFailure,
  FeedLog,
} from '../../origin-adapters/feeds/feed.ts';
import type { FeedConfig } from '../../policies/config/config.ts';
import { markAfter, type VersionMark } from '../../policies/feed-version.ts';
import { compileMapping } from '../../policies/mapping.ts';
import { SLICE_TAGS } from '../fence/fence.ts';
import { backoffMs } from './backoff.ts';
import { FeedConnection } from './connection.ts';
import { Liveness } from './liveness.ts';
import type { InvalidationSink, FeedHealth, FeedInvalidation } from './sink.ts';
import { countDelay, newFeedCounts, type FeedStatus } from './status.ts';
import { StallDetector } from './stall.ts';
import { ChangeWarnings } from './change-warnings.ts';
import {
  groupBatches,
  scopeBatch,
  batchOf,
  type ChangeBatch,
  type InvalidationBatch,
  type BatchContext,
} from './change-batch.ts';

/** How often a head without changes makes a new position durable. */
const HEAD_SAVE_MS = 10_000;
const MAX_TICK_MS = 1_000;

export interface FeedRunnerDeps extends Pick<BatchContext, 'scope' | 'tagsOf'> {
  readonly config: FeedConfig;
  readonly adapter: Pick<FeedAdapter, 'showPosition'>;
  readonly feed: Feed;
  readonly clock: FeedClock;
  /** A random number in [0, 1). */
  random(): number;
  readonly log: FeedLog;
  readonly sink: InvalidationSink;
  readonly health: FeedHealth;
}

/**
 * Follows one feed for as long as Weir runs: opens it after the last durable position, maps its changes, applies them in
 * order, acknowledges durable positions and publishes the feed's state.
 *
 * A proof of the head counts only after everything received before it is applied. After a stall of this process, or a
 * jump of a clock, the messages in the socket may be old: the connection is closed and a new proof is awaited.
 */
export class FeedRunner {
  readonly #deps: FeedRunnerDeps;
  readonly #context: BatchContext;
  readonly #stalls: StallDetector;
  readonly #counts = newFeedCounts();
  readonly #liveness: Liveness;
  #running: Promise<void> | null = null;
  /** The version mark of everything applied and durable. */
  #mark: VersionMark;
  #connection: FeedConnection | null = null;
  #attempt = 0;
  #positionSavedAtMs = -Infinity;
  #behind: number | null = null;
  #isStopping = false;
  #cancelTick: () => void = nothing;
  /** Ends the pause between two attempts. */
  #wake: () => void = nothing;

  constructor(deps: FeedRunnerDeps) {
    this.#deps = deps;
    const { clock, scope, tagsOf, log } = deps;
    const { map, versionField } = deps.config;
    const warnings = new ChangeWarnings(map, log);
    this.#context = { mapping: compileMapping(map), versionField, clock, scope, tagsOf, warnings };
    this.#mark = deps.sink.mark(deps.config.name);
    this.#liveness = new Liveness(deps);
    this.#stalls = new StallDetector(deps.clock, deps.config.maxSilenceMs / 2);
  }

  start(): void {
    if (this.#running !== null) return;
    this.#liveness.publish();
    this.#scheduleTick();
    this.#running = this.#run();
  }

  /** Resolves when the runner has ended. Changes that were not applied are received again after the next start. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#cancelTick();
    this.#wake();
    this.#connection?.giveUp(stopped);
    await this.#running;
  }

  status(): FeedStatus {
    const position = this.#deps.sink.position(this.#deps.config.name);
    return {
      id: this.#deps.config.name,
      type: this.#deps.config.type,
      state: this.#liveness.state,
      position: position === null ? null : this.#deps.adapter.showPosition(position),
      silenceMs: Math.round(this.#liveness.silenceMs()),
      behind: this.#behind,
      lastFailure: this.#liveness.lastFailure,
      ...this.#counts,
    };
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      const failure = await this.#follow();
      if (this.#isStopping) break;
      this.#counts.failures += 1;
      this.#liveness.failed(failure);
      const delayMs = backoffMs(failure.retry, this.#attempt, this.#deps.random());
      this.#attempt += 1;
      await this.#pause(delayMs);
    }
    this.#liveness.become('lost', 'stopped');
  }

  /** One connection, from its opening until it has ended and everything received on it is applied. */
  async #follow(): Promise<FeedFailure> {
    const connection = new FeedConnection(this.#deps.clock.monotonicMs());
    this.#connection = connection;
    this.#stalls.check();
    await Promise.all([this.#read(connection), this.#applyAll(connection)]);
    this.#connection = null;
    return connection.failure;
  }

  async #read(connection: FeedConnection): Promise<void> {
    const after = this.#deps.sink.position(this.#deps.config.name);
    try {
      for await (const event of this.#deps.feed.open(after, connection.signal)) {
        if (connection.isGivenUp) break;
        if (event.kind === 'failed') {
          connection.failed(event.failure);
          this.#ended(connection);
          break;
        }
        await this.#receive(connection, event, after);
      }
    } catch (error) {
      this.#deps.log('error', 'the feed failed unexpectedly', { error });
      connection.failed(broken(error));
    } finally {
      this.#ended(connection);
    }
  }

  /** Called as soon as the connection fails, because the adapter may need time to close it. */
  #ended(connection: FeedConnection): void {
    connection.queue.close();
    this.#liveness.become('lost', connection.failure.message);
  }

  async #receive(
    connection: FeedConnection,
    event: Exclude<FeedEvent, { kind: 'failed' }>,
    after: string | null,
  ): Promise<void> {
    const isFirst = !connection.hasReceived;
    connection.hasReceived = true;
    connection.lastMessageAtMs = this.#deps.clock.monotonicMs();
    if (isFirst) this.#liveness.become('catching-up', 'connected');
    if (event.kind === 'behind') this.#behind = event.events;
    // Without a position it is unknown what changed before, even if the adapter reports no gap.
    if (isFirst && after === null && event.kind !== 'gap') {
      await this.#queue(
        connection,
        scopeBatch('gap', null, 'no position', this.#context, this.#deps.clock.nowMs()),
      );
    }
    connection.pending += 1;
    const batch = await batchOf(event, this.#context, this.#deps.clock.nowMs());
    connection.pending -= 1;
    connection.lastMessageAtMs = this.#deps.clock.monotonicMs();
    if (batch !== null) await this.#queue(connection, batch);
  }

  #queue(connection: FeedConnection, batch: ChangeBatch): Promise<void> {
    return connection.queue.push(batch, batch.kind === 'invalidate' ? 1 + batch.tags.length : 1);
  }

  async #applyAll(connection: FeedConnection): Promise<void> {
    for (;;) {
      const batches = await connection.queue.takeAll();
      if (batches === null) return;
      connection.pending += 1;
      try {
        await this.#applyBatches(connection, batches);
      } catch (error) {
        connection.queue.discard();
        connection.giveUp(notDurable(error));
      }
      connection.pending -= 1;
      connection.lastMessageAtMs = this.#deps.clock.monotonicMs();
    }
  }

  /** Applies batches in order, so a head is applied after everything before it. */
  async #applyBatches(connection: FeedConnection, batches: readonly ChangeBatch[]): Promise<void> {
    let pending: InvalidationBatch[] = [];
    for (const batch of batches) {
      if (batch.kind === 'invalidate') {
        pending.push(batch);
      } else {
        await this.#invalidate(pending);
        pending = [];
        await this.#proved(connection, batch);
      }
    }
    await this.#invalidate(pending);
  }

  async #invalidate(batches: readonly InvalidationBatch[]): Promise<void> {
    for (const group of groupBatches(batches, SLICE_TAGS)) {
      const [first, ...others] = group;
      const tags = others.length === 0 ? first!.tags : [...new Set(group.flatMap((batch) => batch.tags))];
      const position = group.findLast((batch) => batch.position !== null)?.position ?? null;
      const mark = group.reduce(markAfter, this.#mark);
      await this.#apply({ tags, position, mark, kind: first!.as });
      for (const batch of group) this.#count(batch);
      this.#logScope(group);
    }
  }

  async #apply(invalidation: Omit<FeedInvalidation, 'feed'>): Promise<void> {
    const { position, mark } = invalidation;
    await this.#deps.sink.apply({ feed: this.#deps.config.name, ...invalidation });
    this.#mark = mark;
    if (position === null) return;
    this.#positionSavedAtMs = this.#deps.clock.monotonicMs();
    this.#deps.feed.acknowledge(position);
  }

  async #proved(connection: FeedConnection, head: Extract<ChangeBatch, { kind: 'head' }>): Promise<void> {
    if (this.#gaveUpAfterStall(connection) || connection.isGivenUp) return;
    if (head.position !== null) this.#deps.sink.announceHead(this.#deps.config.name, head.position);
    await this.#saveHead(head.position);
    this.#behind = this.#behind === null ? null : 0;
    if (this.#liveness.prove(head.askedAtMonotonicMs, !connection.queue.isClosed)) this.#attempt = 0;
  }

  /** Saves the position of a head from time to time: it also advances without changes. */
  async #saveHead(position: string | null): Promise<void> {
    if (position === null || position === this.#deps.sink.position(this.#deps.config.name)) return;
    if (this.#deps.clock.monotonicMs() - this.#positionSavedAtMs < HEAD_SAVE_MS) return;
    await this.#apply({ tags: [], position, mark: this.#mark, kind: 'change' });
  }

  #count(batch: InvalidationBatch): void {
    const counts = this.#counts;
    counts.changes += batch.changes;
    counts.unmapped += batch.unmapped;
    if (batch.tags.length > 0) counts.invalidations += 1;
    if (batch.as === 'gap') counts.gaps += 1;
    if (batch.isUnintelligible) counts.unintelligible += 1;
    else if (batch.as === 'scope') counts.incomplete += 1;
    if (batch.as === 'change' && batch.tags.length > 0) {
      countDelay(counts, this.#deps.clock.nowMs() - (batch.committedAtMs ?? batch.receivedAtMs));
    }
  }

  /** Logs one line for each group, so that a feed with many unintelligible messages does not fill the log. */
  #logScope(group: readonly InvalidationBatch[]): void {
    const { as, reason } = group[0]!;
    if (as === 'change') return;
    const details = { why: as, reason, times: group.length };
    this.#deps.log('warn', 'invalidated everything that the feed may change', details);
  }

  /** Checks everything that depends on time. */
  #tick(): void {
    const connection = this.#connection;
    if (connection !== null && !this.#gaveUpAfterStall(connection)) this.#giveUpIfDead(connection);
    this.#liveness.expire(this.#connection?.openedAtMs ?? null);
    this.#scheduleTick();
  }

  #scheduleTick(): void {
    if (this.#isStopping) return;
    const tickMs = Math.min(this.#deps.config.maxSilenceMs / 4, MAX_TICK_MS);
    this.#cancelTick = this.#deps.clock.schedule(tickMs, () => this.#tick());
  }

  #gaveUpAfterStall(connection: FeedConnection): boolean {
    const pause = this.#stalls.check();
    if (pause === 'fine') return false;
    const message = pause === 'stalled' ? 'this process stalled' : 'the clocks drifted apart';
    connection.giveUp({ kind: 'unreachable', retry: 'soon', message, cause: null });
    this.#attempt = 0;
    this.#liveness.become('catching-up', message);
    return true;
  }

  /** Closes a connection without messages, which may be dead, unless the runner itself keeps it waiting. */
  #giveUpIfDead(connection: FeedConnection): void {
    if (connection.pending > 0 || !connection.queue.isEmpty) return;
    if (this.#deps.clock.monotonicMs() - connection.lastMessageAtMs <= this.#deps.config.maxSilenceMs) return;
    connection.giveUp({
      kind: 'unreachable',
      retry: 'soon',
      message: 'no message arrived for longer than max-silence',
      cause: null,
    });
  }

  /** Waits for the delay; null: until the runner is stopped. */
  #pause(delayMs: number | null): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = delayMs === null ? nothing : this.#deps.clock.schedule(delayMs, resolve);
    this.#wake = () => {
      cancel();
      resolve();
    };
    return promise;
  }
}

const stopped: FeedFailure = { kind: 'unreachable', retry: 'never', message: 'stopped', cause: null };

function broken(cause: unknown): FeedFailure {
  return {
    kind: 'protocol',
    retry: 'soon',
    message: `the feed failed unexpectedly: ${messageOf(cause)}`,
    cause,
  };
}

/** A change that is not durable is not acknowledged: it is received again, and the feed is not live until then. */
function notDurable(cause: unknown): FeedFailure {
  return {
    kind: 'unreachable',
    retry: 'soon',
    message: `a change can't be made durable: ${messageOf(cause)}`,
    cause,
  };
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

function nothing(): void {
  // There is nothing to cancel.
}
