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
import type { InvalidationSink, FeedHealth, FeedInvalidation, FeedState } from './sink.ts';
import { countDelay, newFeedCounts, type FeedStatus } from './status.ts';
import { StallDetector } from './stall.ts';
import { OddChanges } from './odd-changes.ts';
import {
  batchesOf,
  scopeBatch,
  batchOf,
  type ChangeBatch,
  type InvalidationBatch,
  type BatchMaker,
} from './change-batch.ts';

/** How often a head alone makes a new position durable. */
const HEAD_SAVE_MS = 10_000;
const MAX_TICK_MS = 1_000;

export interface FeedRunnerDeps extends Pick<BatchMaker, 'scope' | 'tagsOf'> {
  readonly config: FeedConfig;
  readonly adapter: Pick<FeedAdapter, 'showPosition'>;
  readonly feed: Feed;
  readonly clock: FeedClock;
  /** In [0, 1). */
  random(): number;
  readonly log: FeedLog;
  readonly door: InvalidationSink;
  readonly health: FeedHealth;
}

/**
 * Follows one feed for as long as Weir runs: opens it after the last durable position, maps its changes, brings them into
 * force in order, tells it what is durable, and publishes how far it may be trusted.
 *
 * A feed is `live` while it is connected and was proved to be at its head within `max-silence`. A proof counts only behind
 * everything that was said before it. After a stall of ours, or a jump of the clocks, what lies in the socket may be
 * old: the connection is given up and the proof asked for anew.
 */
export class FeedRunner {
  readonly #deps: FeedRunnerDeps;
  readonly #maker: BatchMaker;
  readonly #stalls: StallDetector;
  readonly #counts = newFeedCounts();
  #running: Promise<void> | null = null;
  /** What was told by everything that is in force and durable. */
  #mark: VersionMark;
  #connection: FeedConnection | null = null;
  #state: FeedState = 'lost';
  #provedAtMs = -Infinity;
  #attempt = 0;
  #positionSavedAtMs = -Infinity;
  #behind: number | null = null;
  #lastFailure: string | null = null;
  #isStopping = false;
  #cancelTick: () => void = nothing;
  /** Ends the pause between two attempts. */
  #wake: () => void = nothing;

  constructor(deps: FeedRunnerDeps) {
    this.#deps = deps;
    const { clock, scope, tagsOf, log } = deps;
    const { map, versionField } = deps.config;
    const odd = new OddChanges(map, log);
    this.#maker = { mapping: compileMapping(map), versionField, clock, scope, tagsOf, odd };
    this.#mark = deps.door.mark(deps.config.name);
    this.#stalls = new StallDetector(deps.clock, deps.config.maxSilenceMs / 2);
  }

  start(): void {
    if (this.#running !== null) return;
    this.#publish();
    this.#scheduleTick();
    this.#running = this.#run();
  }

  /** Resolves when nothing of it runs any more. What was not applied comes again after the next start. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#cancelTick();
    this.#wake();
    this.#connection?.giveUp(stopped);
    await this.#running;
  }

  status(): FeedStatus {
    const position = this.#deps.door.position(this.#deps.config.name);
    return {
      id: this.#deps.config.name,
      type: this.#deps.config.type,
      state: this.#state,
      position: position === null ? null : this.#deps.adapter.showPosition(position),
      silenceMs: Math.round(this.#silenceMs()),
      behind: this.#behind,
      lastFailure: this.#lastFailure,
      ...this.#counts,
    };
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      const failure = await this.#follow();
      if (this.#isStopping) break;
      this.#failed(failure);
      const delayMs = backoffMs(failure.retry, this.#attempt, this.#deps.random());
      this.#attempt += 1;
      await this.#pause(delayMs);
    }
    this.#become('lost', 'stopped');
  }

  /** One connection, from its opening until it has failed and all that it said is applied. */
  async #follow(): Promise<FeedFailure> {
    const connection = new FeedConnection(this.#deps.clock.monotonicMs());
    this.#connection = connection;
    this.#stalls.look();
    await Promise.all([this.#read(connection), this.#applyAll(connection)]);
    this.#connection = null;
    return connection.failure;
  }

  async #read(connection: FeedConnection): Promise<void> {
    const after = this.#deps.door.position(this.#deps.config.name);
    try {
      for await (const event of this.#deps.feed.open(after, connection.signal)) {
        if (connection.isGivenUp) break;
        if (event.kind === 'failed') {
          connection.failed(event.failure);
          this.#ended(connection);
          break;
        }
        await this.#hear(connection, event, after);
      }
    } catch (error) {
      this.#deps.log('error', 'the feed broke', { error });
      connection.failed(broken(error));
    } finally {
      this.#ended(connection);
    }
  }

  /** At once, for the adapter may take its time to close what it had open. */
  #ended(connection: FeedConnection): void {
    connection.queue.close();
    this.#become('lost', connection.failure.message);
  }

  async #hear(
    connection: FeedConnection,
    event: Exclude<FeedEvent, { kind: 'failed' }>,
    after: string | null,
  ): Promise<void> {
    const isFirst = !connection.hasSpoken;
    connection.hasSpoken = true;
    connection.heardAtMs = this.#deps.clock.monotonicMs();
    if (isFirst) this.#become('catching-up', 'connected');
    if (event.kind === 'behind') this.#behind = event.events;
    // Whoever begins without a position does not know what changed before, whether the feed says so or not.
    if (isFirst && after === null && event.kind !== 'gap') {
      await this.#queue(
        connection,
        scopeBatch('gap', null, 'no position', this.#maker, this.#deps.clock.nowMs()),
      );
    }
    connection.works += 1;
    const step = await batchOf(event, this.#maker, this.#deps.clock.nowMs());
    connection.works -= 1;
    connection.heardAtMs = this.#deps.clock.monotonicMs();
    if (step !== null) await this.#queue(connection, step);
  }

  #queue(connection: FeedConnection, step: ChangeBatch): Promise<void> {
    return connection.queue.push(step, step.kind === 'invalidate' ? 1 + step.tags.length : 1);
  }

  async #applyAll(connection: FeedConnection): Promise<void> {
    for (;;) {
      const steps = await connection.queue.takeAll();
      if (steps === null) return;
      connection.works += 1;
      try {
        await this.#applySteps(connection, steps);
      } catch (error) {
        connection.queue.discard();
        connection.giveUp(notDurable(error));
      }
      connection.works -= 1;
      connection.heardAtMs = this.#deps.clock.monotonicMs();
    }
  }

  /** In order; a head stands behind everything before it. */
  async #applySteps(connection: FeedConnection, steps: readonly ChangeBatch[]): Promise<void> {
    let pending: InvalidationBatch[] = [];
    for (const step of steps) {
      if (step.kind === 'invalidate') {
        pending.push(step);
      } else {
        await this.#invalidate(pending);
        pending = [];
        await this.#proved(connection, step);
      }
    }
    await this.#invalidate(pending);
  }

  async #invalidate(steps: readonly InvalidationBatch[]): Promise<void> {
    for (const batch of batchesOf(steps, SLICE_TAGS)) {
      const [first, ...others] = batch;
      const tags = others.length === 0 ? first!.tags : [...new Set(batch.flatMap((step) => step.tags))];
      const position = batch.findLast((step) => step.position !== null)?.position ?? null;
      const mark = batch.reduce(markAfter, this.#mark);
      await this.#pass({ tags, position, mark, kind: first!.as });
      for (const step of batch) this.#count(step);
      this.#report(batch);
    }
  }

  async #pass(invalidation: Omit<FeedInvalidation, 'feed'>): Promise<void> {
    const { position, mark } = invalidation;
    await this.#deps.door.apply({ feed: this.#deps.config.name, ...invalidation });
    this.#mark = mark;
    if (position === null) return;
    this.#positionSavedAtMs = this.#deps.clock.monotonicMs();
    this.#deps.feed.acknowledge(position);
  }

  async #proved(connection: FeedConnection, head: Extract<ChangeBatch, { kind: 'head' }>): Promise<void> {
    if (this.#gaveUpAfterStall(connection) || connection.isGivenUp) return;
    if (head.position !== null) this.#deps.door.announceHead(this.#deps.config.name, head.position);
    await this.#saveHead(head.position);
    const nowMs = this.#deps.clock.monotonicMs();
    this.#provedAtMs = Math.max(this.#provedAtMs, Math.min(head.askedAtMonotonicMs, nowMs));
    this.#behind = this.#behind === null ? null : 0;
    if (connection.queue.isClosed || this.#silenceMs() > this.#deps.config.maxSilenceMs) {
      this.#publish();
      return;
    }
    this.#attempt = 0;
    this.#lastFailure = null;
    if (this.#state === 'live') this.#publish();
    else this.#become('live', 'at its head');
  }

  /** Where nothing that concerns us happens, the place in the feed moves on all the same. */
  async #saveHead(position: string | null): Promise<void> {
    if (position === null || position === this.#deps.door.position(this.#deps.config.name)) return;
    if (this.#deps.clock.monotonicMs() - this.#positionSavedAtMs < HEAD_SAVE_MS) return;
    await this.#pass({ tags: [], position, mark: this.#mark, kind: 'change' });
  }

  #count(step: InvalidationBatch): void {
    const counts = this.#counts;
    counts.changes += step.changes;
    counts.unmapped += step.unmapped;
    if (step.tags.length > 0) counts.invalidations += 1;
    if (step.as === 'gap') counts.gaps += 1;
    if (step.isUnintelligible) counts.unintelligible += 1;
    else if (step.as === 'scope') counts.incomplete += 1;
    if (step.as === 'change' && step.tags.length > 0) {
      countDelay(counts, this.#deps.clock.nowMs() - (step.committedAtMs ?? step.receivedAtMs));
    }
  }

  /** A feed of which nothing can be understood must not fill the log: one line a batch. */
  #report(batch: readonly InvalidationBatch[]): void {
    const { as, reason } = batch[0]!;
    if (as === 'change') return;
    const details = { why: as, reason, times: batch.length };
    this.#deps.log('warn', 'invalidated all that the feed may change', details);
  }

  /** Looks at everything that only time brings about. */
  #tick(): void {
    const connection = this.#connection;
    if (connection !== null && !this.#gaveUpAfterStall(connection)) this.#giveUpIfDeaf(connection);
    this.#lookForProof();
    this.#scheduleTick();
  }

  /** A connection may live on, and say this and that, without the one thing that matters. */
  #lookForProof(): void {
    const { maxSilenceMs } = this.#deps.config;
    if (this.#silenceMs() <= maxSilenceMs) return;
    if (this.#state === 'live') this.#become('catching-up', unproved);
    const connectedMs = this.#deps.clock.monotonicMs() - (this.#connection?.openedAtMs ?? Infinity);
    if (this.#state === 'catching-up' && connectedMs > maxSilenceMs) this.#lastFailure = unproved;
  }

  #scheduleTick(): void {
    if (this.#isStopping) return;
    const tickMs = Math.min(this.#deps.config.maxSilenceMs / 4, MAX_TICK_MS);
    this.#cancelTick = this.#deps.clock.schedule(tickMs, () => this.#tick());
  }

  #gaveUpAfterStall(connection: FeedConnection): boolean {
    const seen = this.#stalls.look();
    if (seen === 'fine') return false;
    const message = seen === 'stalled' ? 'this process stood still' : 'the clocks moved apart';
    connection.giveUp({ kind: 'unreachable', retry: 'soon', message, cause: null });
    this.#attempt = 0;
    this.#become('catching-up', message);
    return true;
  }

  /** A connection on which nothing comes may be dead without knowing it; one that we keep waiting is not meant. */
  #giveUpIfDeaf(connection: FeedConnection): void {
    if (connection.works > 0 || !connection.queue.isEmpty) return;
    if (this.#deps.clock.monotonicMs() - connection.heardAtMs <= this.#deps.config.maxSilenceMs) return;
    connection.giveUp({
      kind: 'unreachable',
      retry: 'soon',
      message: 'nothing was heard for longer than max-silence',
      cause: null,
    });
  }

  #failed(failure: FeedFailure): void {
    this.#counts.failures += 1;
    const isNew = this.#lastFailure !== failure.message;
    this.#lastFailure = failure.message;
    this.#deps.log(isNew ? 'warn' : 'debug', 'the feed is not connected', {
      kind: failure.kind,
      reason: failure.message,
      retry: failure.retry,
    });
  }

  #become(state: FeedState, reason: string): void {
    if (this.#state === state) return;
    const before = this.#state;
    this.#state = state;
    const isBetter = state === 'live' || before === 'lost';
    this.#deps.log(isBetter ? 'info' : 'warn', `the feed is ${state}`, { before, reason });
    this.#publish();
  }

  #publish(): void {
    this.#deps.health.set(this.#deps.config.name, {
      state: this.#state,
      silentSinceMonotonicMs: this.#provedAtMs,
    });
  }

  #silenceMs(): number {
    return this.#deps.clock.monotonicMs() - this.#provedAtMs;
  }

  /** null: until it is stopped. */
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

const unproved = 'not proved to be at its head for longer than max-silence';

const stopped: FeedFailure = { kind: 'unreachable', retry: 'never', message: 'stopped', cause: null };

function broken(cause: unknown): FeedFailure {
  return { kind: 'protocol', retry: 'soon', message: `the feed broke: ${messageOf(cause)}`, cause };
}

/** What is not durable is not acknowledged: the feed says it again, and falls silent until that can be kept. */
function notDurable(cause: unknown): FeedFailure {
  return {
    kind: 'unreachable',
    retry: 'soon',
    message: `a change can't be kept: ${messageOf(cause)}`,
    cause,
  };
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

function nothing(): void {
  // For what there is nothing to cancel of.
}
