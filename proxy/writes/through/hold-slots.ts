import type { WritesConfig } from '../../../policies/config/config.ts';
import { decideSlot, type HoldBound } from '../../../policies/writes.ts';
import type { Log } from '../../observability/logger.ts';
import type { DurableClock } from '../journal/durable-clock.ts';

export interface HoldSlotsDependencies {
  readonly limits: () => WritesConfig;
  readonly durableClock: Pick<DurableClock, 'nowMs'>;
  readonly log: Log;
}

/** Refusals of this long are told in one queue. */
const LOG_MS = 10_000;

/**
 * How many holds clients have, or may come to have: a write takes its slot before anything of it is sent and gives it back
 * when its outcome is known, or when the hold of its unknown outcome is over.
 */
export class HoldSlots {
  readonly #deps: HoldSlotsDependencies;
  readonly #byClient = new Map<string, number>();
  readonly #refused = { client: 0, all: 0 };
  #taken = 0;
  #untold = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: HoldSlotsDependencies) {
    this.#deps = deps;
  }

  get taken(): number {
    return this.#taken;
  }

  /** By the bound that was reached. */
  get refused(): Readonly<Record<HoldBound, number>> {
    return { ...this.#refused };
  }

  /** Null: it is taken. */
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
    this.#tell(slot.bound);
    return slot.bound;
  }

  /** Of a hold that has to be placed, whatever the bounds. */
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

  #tell(bound: HoldBound): void {
    const { durableClock, log } = this.#deps;
    const nowMs = durableClock.nowMs();
    this.#untold += 1;
    if (nowMs - this.#toldAtMs < LOG_MS) return;
    log.warn(
      { event: 'writes-refused', bound, refused: this.#untold, held: this.#taken },
      'too many writes are under way or of unknown outcome: more are refused',
    );
    this.#untold = 0;
    this.#toldAtMs = nowMs;
  }
}
