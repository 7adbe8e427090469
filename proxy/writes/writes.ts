import type { Clock } from '../clock.ts';
import type { Fence } from '../fence/fence.ts';
import type { Log } from '../log/logger.ts';
import type { CoordinatorCalls } from '../process/calls.ts';
import type { Handlers } from '../process/channel.ts';
import type { StateStore } from '../state/state-store.ts';
import { LingeringHolds } from './lingering-holds.ts';
import { Lines } from './lines.ts';
import { ThroughDesk } from './through-desk.ts';

export interface WritesDependencies {
  readonly state: StateStore;
  readonly fence: Fence;
  readonly clock: Clock;
  readonly log: Log;
}

type WriteCalls = Pick<Handlers<CoordinatorCalls>, 'admitThrough' | 'abandonThrough' | 'settleThrough'>;

/** All that the coordinator does about writes. */
export class Writes {
  readonly #desk: ThroughDesk;
  readonly #lingering: LingeringHolds;

  private constructor(deps: WritesDependencies) {
    const lines: Lines = new Lines({ first: () => null, last: () => null }, () => {});
    this.#lingering = new LingeringHolds({ ...deps, lines: () => lines });
    this.#desk = new ThroughDesk({ ...deps, lines, lingering: this.#lingering });
  }

  /** Takes over what earlier runs left. To be called before any reader is there. */
  static async open(deps: WritesDependencies): Promise<Writes> {
    const writes = new Writes(deps);
    await writes.#lingering.restore();
    return writes;
  }

  /** `instance` is the worker's. */
  callsOf(instance: number): WriteCalls {
    return {
      admitThrough: (request) => this.#desk.admit(instance, request),
      abandonThrough: ({ ticket }) => this.#desk.abandon(instance, ticket),
      settleThrough: (end) => this.#desk.settle(end),
    };
  }

  /** What the worker had under way has an unknown outcome. */
  workerDied(instance: number): void {
    this.#desk.workerDied(instance);
  }

  close(): void {
    this.#lingering.close();
  }
}
