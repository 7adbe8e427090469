import type { MessagePort } from 'node:worker_threads';
import type { Config } from '../../policies/config/config.ts';
import type { Fields } from '../../policies/http/fields.ts';
import type { DeliveryAnswer } from '../../origin-adapters/feeds/feed.ts';
import type { OriginStats } from '../../origin-adapters/origin.ts';
import type { EntryHead } from '../store/entry-head.ts';
import type { RequestCounters } from './stats.ts';
import type { MemoryStats } from '../store/memory.ts';
import type { AskedEntry, Invalidated } from '../fence/fence.ts';
import type { SharedFeed } from '../feeds/shared-feed.ts';
import type { FlightCounters } from '../fetch/sharing.ts';
import type { ExchangesUnderWay } from '../http/listener.ts';
import type { RecorderPart } from '../observability/shared-recorder.ts';
import type { RefreshCounters } from '../request/handlers/refreshes.ts';
import type { OriginReports } from '../origins/failure-reports.ts';
import type { OriginCellsSource } from '../origins/origin-cells.ts';
import type { LifetimeStart } from '../threads/lifetime-clock.ts';
import type { DiskCalls } from '../store/disk/call-types.ts';
import type { WriteCalls } from '../writes/calls.ts';

/** What a worker is started with. */
export interface WorkerStart {
  /** Its place, which a replacement takes over. */
  readonly index: number;
  /** A number that no other worker of this process has had. */
  readonly instance: number;
  readonly boot: number;
  readonly workers: number;
  readonly port: number;
  /** Others listen on it, too. */
  readonly sharesPort: boolean;
  readonly configuration: RuntimeConfigurationSource;
  readonly fence: SharedArrayBuffer;
  readonly hitForMiss: SharedArrayBuffer;
  readonly writesInFlight: SharedArrayBuffer;
  readonly connections: SharedArrayBuffer;
  /** The time by which lifetimes count, the same for all. */
  readonly lifetimes: LifetimeStart;
  /** The cache on disk; null: the tier is off. */
  readonly diskPath: string | null;
}

/** What a worker compiles its routes from. */
export interface RuntimeConfigurationSource {
  readonly config: Config;
  /** Where the built-in shops of origins listen, by the origin's name. */
  readonly demoUrls: Readonly<Record<string, string>>;
  /** How the origins are. */
  readonly originCells: OriginCellsSource;
  /** How the feeds stand and how far they have got, by name. */
  readonly feeds: Readonly<Record<string, SharedFeed>>;
  /** Where deliveries to feeds come on the main port: paths as normalised, and what one may hold. */
  readonly receivers: readonly { readonly path: string; readonly maxBodyBytes: number }[];
}

/** What the coordinator asks of a worker. */
export type WorkerCalls = {
  reload(configuration: RuntimeConfigurationSource): void;
  peer(peer: { readonly index: number; readonly port: MessagePort }): void;
  stats(argument: null): WorkerStats;
  /** A key's entries as this worker finds them. */
  entries(argument: { readonly key: string }): {
    readonly memory: readonly EntryHead[];
    readonly disk: readonly EntryHead[];
  };
  /** These entries of a key are kept no longer, anywhere. */
  dropEntries(argument: { readonly key: string; readonly ids: readonly string[] }): void;
  /** The entries in memory that bear any of the tags. */
  find(argument: { readonly tags: readonly string[] }): readonly FoundInMemory[];
  /** Takes no more; resolves, when nothing is under way any more, with the number of exchanges that were cut. */
  drain(argument: Drain): number;
  underWay(argument: null): ExchangesUnderWay;
  /** Ends what clients of other workers may still have needed. */
  close(argument: null): void;
};

export interface Drain {
  readonly graceMs: number;
  /** How long of that event streams and tunnels may go on. */
  readonly streamsMs: number;
}

export interface FoundInMemory {
  readonly id: string;
  readonly url: string;
}

/** What a worker asks of the coordinator. */
export type CoordinatorCalls = DiskCalls &
  WriteCalls & {
    listening(argument: { readonly port: number }): void;
    listenFailed(argument: { readonly code: string; readonly message: string }): void;
    invalidate(argument: { readonly tags: readonly string[]; readonly entry?: AskedEntry }): Invalidated;
    /** All that bears the tag but for this entry is invalid; gives the floor that it may have. */
    invalidateBut(argument: AskedEntry & { readonly tag: string }): { readonly floor: number };
    /** A delivery to a webhook feed. */
    deliver(argument: WebhookDelivery): DeliveryAnswer;
    recorded(part: RecorderPart): void;
    /** How origins fail, and answer again. */
    originReports(reports: OriginReports): void;
  };

export interface WebhookDelivery {
  readonly path: string;
  readonly method: string;
  readonly fields: Fields;
  readonly body: Uint8Array;
}

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
