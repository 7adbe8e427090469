import type { MessagePort } from 'node:worker_threads';
import type { Config } from '../../policies/config/config.ts';
import type { OriginStats } from '../../origin-adapters/origin.ts';
import type { EntryHead } from '../store/entry-head.ts';
import type { RequestCounters } from './stats.ts';
import type { MemoryStats } from '../store/memory.ts';
import type { FenceCalls } from '../fence/calls.ts';
import type { FeedCalls } from '../feeds/calls.ts';
import type { SharedFeed } from '../feeds/shared-feed.ts';
import type { FlightCounters } from '../fetch/flight-counters.ts';
import type { ExchangesUnderWay } from '../http/listener.ts';
import type { RecorderCalls } from '../observability/calls.ts';
import type { RefreshCounters } from '../request/handlers/refreshes.ts';
import type { OriginReportCalls } from '../origins/calls.ts';
import type { OriginCellsSource } from '../origins/origin-cells.ts';
import type { LifetimeStart } from '../threads/lifetime-clock.ts';
import type { DiskCalls } from '../store/disk/call-types.ts';
import type { DiskShared } from '../store/disk/shared.ts';
import type { WriteCalls } from '../writes/calls.ts';

/** The start values of a worker. */
export interface WorkerStart {
  /** The worker's index, which a replacement inherits. */
  readonly index: number;
  /** A number that is unique among all workers of this process, ended ones included. */
  readonly instance: number;
  readonly boot: number;
  readonly workers: number;
  readonly port: number;
  /** Other workers listen on the same port. */
  readonly sharesPort: boolean;
  readonly configuration: RuntimeConfigurationSource;
  readonly fence: SharedArrayBuffer;
  readonly hitForMiss: SharedArrayBuffer;
  readonly writesInFlight: SharedArrayBuffer;
  readonly flightClaims: SharedArrayBuffer;
  readonly connections: SharedArrayBuffer;
  /** The start of the clock for lifetimes, which all threads share. */
  readonly lifetimes: LifetimeStart;
  /** The cache on disk; null if the tier is off. */
  readonly disk: { readonly path: string; readonly shared: DiskShared } | null;
}

/** The input from which a worker compiles its routes. */
export interface RuntimeConfigurationSource {
  readonly config: Config;
  /** The URLs of the built-in demo shops, by origin name. */
  readonly demoUrls: Readonly<Record<string, string>>;
  /** The shared health and breaker cells of the origins. */
  readonly originCells: OriginCellsSource;
  /** The state and position of each feed, by name. */
  readonly feeds: Readonly<Record<string, SharedFeed>>;
  /** The webhook paths on the main port, normalised, each with its body limit. */
  readonly receivers: readonly { readonly path: string; readonly maxBodyBytes: number }[];
}

/** The calls of the coordinator to a worker. */
export type WorkerCalls = {
  reload(configuration: RuntimeConfigurationSource): void;
  peer(peer: { readonly index: number; readonly port: MessagePort }): void;
  stats(argument: null): WorkerStats;
  /** Returns the entries that this worker finds for a key. */
  entries(argument: { readonly key: string }): {
    readonly memory: readonly EntryHead[];
    readonly disk: readonly EntryHead[];
  };
  /** Removes these entries of a key from the worker. */
  dropEntries(argument: { readonly key: string; readonly ids: readonly string[] }): void;
  /** Returns the entries in memory that have any of the tags. */
  find(argument: { readonly tags: readonly string[] }): readonly FoundInMemory[];
  /** Accepts no more connections. Resolves, when no exchange is under way, with the number of exchanges that were cut. */
  drain(argument: Drain): number;
  underWay(argument: null): ExchangesUnderWay;
  /** Ends the flights that clients of other workers may have waited for. */
  close(argument: null): void;
};

export interface Drain {
  readonly graceMs: number;
  /** The part of `graceMs` that event streams and tunnels may use. */
  readonly streamsMs: number;
}

export interface FoundInMemory {
  readonly id: string;
  readonly url: string;
}

/** The calls of a worker to the coordinator: those of the modules, and the result of the worker's start. */
export type CoordinatorCalls = DiskCalls &
  WriteCalls &
  FenceCalls &
  FeedCalls &
  OriginReportCalls &
  RecorderCalls & {
    listening(argument: { readonly port: number }): void;
    listenFailed(argument: { readonly code: string; readonly message: string }): void;
  };

export interface WorkerStats {
  readonly memory: MemoryStats;
  readonly promotions: number;
  readonly lost: number;
  readonly corrupt: number;
  readonly flights: Readonly<FlightCounters> & { readonly running: number; readonly waiting: number };
  readonly refreshes: Readonly<RefreshCounters>;
  readonly requests: RequestCounters;
  readonly origins: Readonly<Record<string, Readonly<OriginStats>>>;
}
