/** The state of the whole process at one moment, for `GET /stats` and the metrics. Counts of requests are not part of it. */
import type { WriteStats } from '../writes/journal-admin.ts';
import type { OriginStats } from '../../origin-adapters/origin.ts';
import type { DiskStats } from '../store/disk/writer.ts';
import type { MemoryStats } from '../store/memory.ts';
import type { FeedStatus } from '../feeds/status.ts';
import type { AdminRefusal } from '../admin/dependencies.ts';
import type { SlowPart } from '../http/node-exchange.ts';
import type { FlightCounters } from '../fetch/sharing.ts';

/** Counters count since the start, ended workers' among them, and never go back. */
export interface WeirStats {
  readonly version: string;
  readonly uptimeSeconds: number;
  /** `silent`: the places of those that did not answer in time, and count as they last did. */
  readonly workers: {
    readonly running: number;
    readonly replaced: number;
    readonly silent?: readonly number[];
  };
  /** Open connections of clients, over all workers. */
  readonly connections: number;
  readonly requests: RequestCounters;
  /** Requests to the admin side that a rule of access refused. */
  readonly admin: { readonly refused: Readonly<Record<AdminRefusal, number>> };
  /** What the operating system counts; null where it does not tell. `fenceBytes`: of the fence's table, untouched ones as well. */
  readonly process: {
    readonly rssBytes: number;
    readonly anonymousBytes: number | null;
    readonly fileBytes: number | null;
    readonly fenceBytes: number;
  };
  readonly memory: MemoryStats & { readonly limitBytes: number };
  /** null: the tier is off, or could not be opened. */
  readonly disk: (DiskStats & { readonly limitBytes: number; readonly promotions: number }) | null;
  readonly fence: FenceStats;
  readonly flights: FlightStats;
  /** By name, over all workers. */
  readonly origins: Readonly<Record<string, Readonly<OriginStats>>>;
  readonly feeds: readonly FeedStatus[];
  readonly writes: JournalStats;
  /** By name: of each URL whether it answered its last health check. */
  readonly originWell: Readonly<Record<string, readonly boolean[]>>;
  /** By name, of origins with a breaker: whether it leaves the origin alone. */
  readonly originOpen: Readonly<Record<string, boolean>>;
}

/** `outrun`: the counter `superseded`, under the name that `GET /stats` gives it. */
export type FlightStats = Readonly<Omit<FlightCounters, 'superseded'>> & {
  readonly outrun: number;
  readonly running: number;
  readonly waiting: number;
};

/** `lingering`: the number of timed holds, under the name that `GET /stats` gives it. */
export type JournalStats = Omit<WriteStats, 'timedHolds'> & { readonly lingering: number };

export interface RequestCounters {
  /** Fields of requests that `listen.underscores` has left out. */
  readonly droppedFields: number;
  /** Cut, for what the client sent or read did not get on. */
  readonly tooSlow: Readonly<Record<SlowPart, number>>;
}

export interface FenceStats {
  /** The last one in force, and the last one that is synced. */
  readonly sequence: number;
  readonly durableSequence: number;
  readonly invalidations: number;
  /** Records that had to make room in a full bucket. */
  readonly overflows: number;
  /** Tags that writes under way hold. */
  readonly holds: number;
  /** Invalidations that could not be made durable, and whether the last attempt was one. */
  readonly failures: number;
  readonly isFailing: boolean;
}
