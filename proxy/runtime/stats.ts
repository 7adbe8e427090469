/** The state of the whole process at one moment, for `GET /stats` and the metrics. Counts of requests are not part of it. */
import type { WriteStats } from '../writes/journal-admin.ts';
import type { OriginStats } from '../../origin-adapters/origin.ts';
import type { DiskStats } from '../store/disk/writer.ts';
import type { MemoryStats } from '../store/memory.ts';
import type { FeedStatus } from '../feeds/status.ts';
import type { AdminDenial } from '../admin/dependencies.ts';
import type { SlowPart } from '../http/listener-context.ts';
import type { FlightCounters } from '../fetch/flight-counters.ts';

/** Counters count since the start, include workers that have ended, and never decrease. */
export interface WeirStats {
  readonly version: string;
  readonly uptimeSeconds: number;
  /** `silent`: the indexes of workers that did not answer in time; their last known counts are used. */
  readonly workers: {
    readonly running: number;
    readonly replaced: number;
    readonly silent?: readonly number[];
  };
  /** Open client connections of all workers. */
  readonly connections: number;
  readonly requests: RequestCounters;
  /** Requests to the admin side that a rule of access refused. */
  readonly admin: { readonly refused: Readonly<Record<AdminDenial, number>> };
  /**
   * Memory as the operating system reports it, null if it does not. `fenceBytes`: the fence's table, untouched pages
   * included.
   */
  readonly process: {
    readonly rssBytes: number;
    readonly anonymousBytes: number | null;
    readonly fileBytes: number | null;
    readonly fenceBytes: number;
  };
  readonly memory: MemoryStats & { readonly limitBytes: number };
  /** Null if the tier is off or could not be opened. */
  readonly disk: (DiskStats & { readonly limitBytes: number; readonly promotions: number }) | null;
  readonly fence: FenceStats;
  readonly flights: FlightStats;
  /** The requests to origins by the origin's name, summed over all workers. */
  readonly origins: Readonly<Record<string, Readonly<OriginStats>>>;
  readonly feeds: readonly FeedStatus[];
  readonly writes: JournalStats;
  /** By the origin's name: for each URL, whether its last health check succeeded. */
  readonly originWell: Readonly<Record<string, readonly boolean[]>>;
  /** By the origin's name, for origins with a breaker: whether the breaker is open. */
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
  /** Request fields that `listen.underscores` has removed. */
  readonly droppedFields: number;
  /** Exchanges that were cut because the client sent or read too slowly. */
  readonly tooSlow: Readonly<Record<SlowPart, number>>;
}

export interface FenceStats {
  /** The last sequence in force, and the last one that is synced. */
  readonly sequence: number;
  readonly durableSequence: number;
  readonly invalidations: number;
  /** Records that were evicted from a full bucket. */
  readonly overflows: number;
  /** Tags that are held by writes, reloads and changes in progress. */
  readonly holds: number;
  /** Invalidations that could not be made durable, and whether the last attempt failed. */
  readonly failures: number;
  readonly isFailing: boolean;
}
