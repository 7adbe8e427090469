import type { HoldBound, WriteOutcome } from '../../../policies/writes.ts';
import { NotDurableError } from '../../fence/fence-state.ts';
import type { Fence } from '../../fence/fence.ts';
import type { TagHashes } from '../../fence/tag-hash.ts';
import type { Log } from '../../observability/logger.ts';
import type { StateStore, StateTable } from '../../state/state-store.ts';
import { otherHoldKey, writeHoldRow } from '../journal/hold-rows.ts';
import type { HoldSlots } from './hold-slots.ts';
import { orderQueueId, type OrderQueueId, type OrderQueueKey } from '../journal/order-queues.ts';
import type { OrderQueues, Turn } from '../journal/order-queues.ts';
import type { TimedHolds } from '../journal/timed-holds.ts';
import type { DurableClock } from '../journal/durable-clock.ts';

/** A write through that a worker asks to send. */
export interface ThroughRequest {
  /** The worker's number for the write, unique within the worker. */
  readonly ticket: number;
  readonly queue: OrderQueueKey;
  /** What `holdClientOf` returns. */
  readonly client: string;
  /** The tags that are held until the outcome is known. */
  readonly tags: readonly string[];
  /** The longest wait for earlier writes to the URL. */
  readonly waitMs: number;
  /** The maximum of writes that may wait in the queue. */
  readonly waiting: number;
  /** How long the origin may still process a write whose connection was lost. */
  readonly maxProcessingMs: number;
}

export type Admission =
  | { readonly kind: 'admitted'; readonly hold: number }
  /** The turn did not come in time, or too many writes wait. */
  | { readonly kind: 'busy' }
  /** The client, or all clients together, have reached their maximum of holds. */
  | OverLimit
  /** The state can't be written. */
  | { readonly kind: 'not-durable' };

export interface OverLimit {
  readonly kind: 'over-limit';
  readonly bound: HoldBound;
}

/** The admission of a write `around`. It is sent without a hold and leaves one if its outcome is unknown. */
export type SlotAdmission = { readonly kind: 'admitted'; readonly slot: number } | OverLimit;

/** A write `around`, and the hold that it leaves if its outcome is unknown. */
export interface UnheldWrite {
  readonly client: string;
  readonly queue: OrderQueueKey;
  readonly tags: readonly string[];
  readonly maxProcessingMs: number;
}

/** A write `around` that was sent and has an unknown outcome. */
export interface UnknownWrite extends UnheldWrite {
  /** The slot that the write took before it was sent. */
  readonly slot: number;
}

export interface ThroughEnd {
  readonly hold: number;
  readonly outcome: WriteOutcome;
  /** Tags that are invalidated with the hold's, or held with them if the outcome is unknown. */
  readonly moreTags: readonly string[];
  /** The tags of the entry that the caller makes of the write; null: it makes none. */
  readonly entryTags: readonly string[] | null;
}

/** `floor` is for the entry made of the write; null: no entry is made, or something else has invalidated its tags. */
export type ThroughSettled = { readonly floor: number | null };

interface Running {
  readonly instance: number;
  readonly client: string;
  readonly queue: OrderQueueId;
  readonly tags: TagHashes;
  readonly maxProcessingMs: number;
  /** The sequence at which the hold began. */
  readonly heldAt: number;
}

export interface WriteThroughGateDependencies {
  readonly state: StateStore;
  readonly fence: Fence;
  readonly queues: OrderQueues;
  readonly timedHolds: TimedHolds;
  readonly slots: HoldSlots;
  readonly durableClock: DurableClock;
  readonly log: Log;
}

/** Gives turns and holds to the writes that workers send, and ends them when the outcome is known. */
export class WriteThroughGate {
  readonly #deps: WriteThroughGateDependencies;
  readonly #holds: StateTable;
  readonly #running = new Map<number, Running>();
  /** The writes `around` that are under way, by slot. */
  readonly #unheld = new Map<number, { readonly instance: number; readonly write: UnheldWrite }>();
  #slots = 0;
  /** The turns that have not come yet, by worker and ticket. */
  readonly #turns = new Map<string, Turn>();
  /** The instance numbers of workers that died: a turn may still be granted to one of their writes. */
  readonly #dead = new Set<number>();

  constructor(deps: WriteThroughGateDependencies) {
    this.#deps = deps;
    this.#holds = deps.state.table('holds');
  }

  get running(): number {
    return this.#running.size;
  }

  /** Resolves with `admitted` when the hold is in force and durable. `instance` is the worker's instance number. */
  async admit(instance: number, request: ThroughRequest): Promise<Admission> {
    const { queues } = this.#deps;
    const queue = orderQueueId(request.queue);
    const ticket = `${instance}:${request.ticket}`;
    const turn = queues.enter(queue, request);
    this.#turns.set(ticket, turn);
    const how = await turn.granted;
    this.#turns.delete(ticket);
    if (how !== 'granted') return { kind: 'busy' };
    const bound = this.#deps.slots.take(request.client);
    if (bound !== null) {
      queues.leave(queue);
      return { kind: 'over-limit', bound };
    }
    return this.#hold(instance, queue, request);
  }

  /** Takes a slot for the hold that a write `around` may leave. */
  takeSlot(instance: number, write: UnheldWrite): SlotAdmission {
    const bound = this.#deps.slots.take(write.client);
    if (bound !== null) return { kind: 'over-limit', bound };
    this.#slots += 1;
    // A dead worker sends nothing and would not give the slot back.
    if (this.#dead.has(instance)) this.#deps.slots.give(write.client);
    else this.#unheld.set(this.#slots, { instance, write });
    return { kind: 'admitted', slot: this.#slots };
  }

  /** Gives back the slot of a write `around` whose outcome is known. */
  giveSlot(slot: number): void {
    const unheld = this.#unheld.get(slot);
    if (unheld === undefined) return;
    this.#unheld.delete(slot);
    this.#deps.slots.give(unheld.write.client);
  }

  /** Gives up a turn that has not come, because the client left. */
  abandon(instance: number, ticket: number): void {
    this.#turns.get(`${instance}:${ticket}`)?.leave();
  }

  /** Resolves when the invalidation is in force for every reader, and the hold has ended or has become a timed one. */
  async settle(end: ThroughEnd): Promise<ThroughSettled> {
    const running = this.#running.get(end.hold);
    if (running === undefined) return { floor: null };
    this.#running.delete(end.hold);
    switch (end.outcome) {
      case 'applied':
        return this.#applied(running, end);
      case 'rejected':
        await this.#rejected(running, end.hold);
        return { floor: null };
      case 'unknown':
        await this.#unknown(running, end.hold, end.moreTags);
        return { floor: null };
      default:
        return end.outcome satisfies never;
    }
  }

  /**
   * Holds the tags of a write `around` while the origin may still process it. Later writes don't wait for it. Rejects
   * and holds nothing if the state can't be written.
   */
  async holdUnknown({ slot, client, queue, tags, maxProcessingMs }: UnknownWrite): Promise<void> {
    const { fence, timedHolds, durableClock, slots } = this.#deps;
    if (!this.#unheld.delete(slot)) slots.add(client);
    const hold = timedHolds.newId();
    const untilMs = durableClock.nowMs() + maxProcessingMs;
    const how = { kind: 'timed', untilMs, maxMs: maxProcessingMs, blocks: false, shown: 0 } as const;
    const row = { ...how, client, queue: orderQueueId(queue), tags: fence.hasher.hash(tags) };
    try {
      await fence.hold(row.tags, () => timedHolds.write(hold, row));
    } catch (error) {
      slots.give(client);
      throw error;
    }
    timedHolds.keep(hold, row);
  }

  /** Treats each write that the worker had under way as one of unknown outcome. */
  workerDied(instance: number): void {
    this.#dead.add(instance);
    for (const [ticket, turn] of this.#turns) if (ticket.startsWith(`${instance}:`)) turn.leave();
    for (const [slot, unheld] of this.#unheld) {
      if (unheld.instance === instance) void this.#holdForDeadWorker({ ...unheld.write, slot });
    }
    for (const [hold, running] of this.#running) {
      if (running.instance !== instance) continue;
      this.#running.delete(hold);
      void this.#unknown(running, hold, []);
    }
  }

  /** Places a hold. If it can't be made durable, invalidates the tags, which covers responses stored so far. */
  async #holdForDeadWorker(write: UnknownWrite): Promise<void> {
    const { fence, log } = this.#deps;
    log.warn(
      { event: 'write-outcome-unknown', holdMs: write.maxProcessingMs },
      'the outcome of a write is unknown',
    );
    try {
      await this.holdUnknown(write);
    } catch (error) {
      log.error({ event: 'hold-not-durable', err: error }, 'a hold could not be written');
      await fence.invalidate({ tags: write.tags, mode: 'hard' }).catch(() => {
        // The invalidation is in force until a restart. The fence counts that it is not durable.
      });
    }
  }

  async #hold(instance: number, queue: OrderQueueId, request: ThroughRequest): Promise<Admission> {
    const { fence, queues, timedHolds, slots } = this.#deps;
    const { client, maxProcessingMs } = request;
    const tags = fence.hasher.hash(request.tags);
    const hold = timedHolds.newId();
    try {
      const { sequence } = await fence.hold(tags, () =>
        writeHoldRow(this.#holds, otherHoldKey(hold), {
          kind: 'running',
          client,
          queue,
          tags,
          maxProcessingMs,
        }),
      );
      const running = { instance, client, queue, tags, maxProcessingMs, heldAt: sequence };
      if (this.#dead.has(instance)) await this.#rejected(running, hold);
      else this.#running.set(hold, running);
      return { kind: 'admitted', hold };
    } catch (error) {
      slots.give(client);
      queues.leave(queue);
      if (error instanceof NotDurableError) return { kind: 'not-durable' };
      throw error;
    }
  }

  async #applied(running: Running, end: ThroughEnd): Promise<ThroughSettled> {
    const { fence, queues, timedHolds, slots } = this.#deps;
    timedHolds.stopShowing(running.queue);
    const { entryTags } = end;
    const untouched = entryTags !== null && !fence.touchedSince(fence.hasher.hash(entryTags), running.heldAt);
    try {
      const { sequence } = await fence.release(running.tags, end.moreTags, () => {
        this.#holds.remove(otherHoldKey(end.hold));
        timedHolds.writeHidden(running.queue);
      });
      slots.give(running.client);
      queues.leave(running.queue);
      return { floor: untouched ? sequence : null };
    } catch (error) {
      // The tags are invalidated already. They stay held until the end of the hold can be made durable.
      this.#keepTimed(running, end.hold, error);
      return { floor: null };
    }
  }

  async #rejected(running: Running, hold: number): Promise<void> {
    const { state, fence, queues, slots } = this.#deps;
    try {
      await state.write(() => this.#holds.remove(otherHoldKey(hold)));
      fence.drop(running.tags);
      slots.give(running.client);
      queues.leave(running.queue);
    } catch (error) {
      this.#keepTimed(running, hold, error);
    }
  }

  async #unknown(running: Running, hold: number, moreTags: readonly string[]): Promise<void> {
    const { state, fence, timedHolds, log } = this.#deps;
    log.warn(
      { event: 'write-outcome-unknown', holdMs: running.maxProcessingMs },
      'the outcome of a write is unknown',
    );
    // Writes that arrive during the commit must wait for this one as well.
    const unblock = timedHolds.block(running.queue);
    try {
      const more = fence.hasher.hash(moreTags);
      const longer = { ...running, tags: Uint32Array.of(...running.tags, ...more) };
      const change = (): void => timedHolds.write(hold, this.#rowOf(longer));
      if (more.length === 0) await state.write(change);
      else await fence.hold(more, change);
      this.#keepTimed(longer, hold, null);
    } catch (error) {
      this.#keepTimed(running, hold, error);
    } finally {
      unblock();
    }
  }

  /** Keeps a timed hold. If the state can't be written, the next start finds a `running` hold, with the same effect. */
  #keepTimed(running: Running, hold: number, error: unknown): void {
    const { queues, timedHolds, log } = this.#deps;
    if (error !== null)
      log.error({ event: 'hold-not-durable', err: error }, 'the end of a hold could not be written');
    timedHolds.keep(hold, this.#rowOf(running));
    queues.leave(running.queue);
  }

  #rowOf({ client, queue, tags, maxProcessingMs }: Running) {
    const untilMs = this.#deps.durableClock.nowMs() + maxProcessingMs;
    return {
      kind: 'timed',
      client,
      queue,
      tags,
      untilMs,
      maxMs: maxProcessingMs,
      blocks: true,
      shown: 0,
    } as const;
  }
}
