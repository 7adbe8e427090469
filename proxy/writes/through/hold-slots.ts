import type { WritesConfig } from '../../../policies/config/config.ts';
import { decideSlot, type HoldBound } from '../../../policies/writes.ts';
import type { Log } from '../../observability/logger.ts';
import type { DurableClock } from '../journal/durable-clock.ts';

export interface HoldSlotsDependencies {
  readonly limits: () => WritesConfig;
  readonly durableClock: Pick<DurableClock, 'nowMs'>;
  readonly log: Log;
}

/** The shortest time between two log lines about refused writes. */
const LOG_MS = 10_000;

/**
 * Bounds the holds that clients have or may leave. A write takes a slot before it is sent. It gives it back when its
 * outcome is known, or when the hold for its unknown outcome has ended.
 */
export class HoldSlots {
  readonly #deps: HoldSlotsDependencies;
  readonly #byClient = new Map<string, number>();
  readonly #refused = { client: 0, all: 0 };
  #taken = 0;
  #unlogged = 0;
  #loggedAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: HoldSlotsDependencies) {
    this.#deps = deps;
  }

  get taken(): number {
    return this.#taken;
  }

  /** The number of refused writes by the bound that was reached. */
  get refused(): Readonly<Record<HoldBound, number>> {
    return { ...this.#refused };
  }

  /** Takes a slot. Returns the bound that prevents it; null: the slot is taken. */
  take(client: string): HoldBound | null {
    const slot = decideSlot(
      { all: this.#taken, client: this.#byClient.get(client) ?? 0 },
      this.#deps.limits(),
    );
    if (slot.kind === 'free') {
      this.add(client);
      return null;
    }
    this.#refused[slot.bound] += 1;
    this.#logExhausted(slot.bound);
    return slot.bound;
  }

  /** Takes a slot beyond the bounds, for a hold that must be placed. */
  add(client: string): void {
    this.#taken += 1;
    this.#byClient.set(client, (this.#byClient.get(client) ?? 0) + 1);
  }

  give(client: string): void {
    const left = (this.#byClient.get(client) ?? 0) - 1;
    this.#taken -= 1;
    if (left > 0) this.#byClient.set(client, left);
    else this.#byClient.delete(client);
  }

  #logExhausted(bound: HoldBound): void {
    const { durableClock, log } = this.#deps;
    const nowMs = durableClock.nowMs();
    this.#unlogged += 1;
    if (nowMs - this.#loggedAtMs < LOG_MS) return;
    log.warn(
      { event: 'writes-refused', bound, refused: this.#unlogged, held: this.#taken },
      'writes are refused: too many are under way or have an unknown outcome',
    );
    this.#unlogged = 0;
    this.#loggedAtMs = nowMs;
  }
}
