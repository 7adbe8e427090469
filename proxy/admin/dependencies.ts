/** The data and actions that the coordinator provides to the admin side. */
import type { AdminAccess } from '../../policies/admin-access.ts';
import type { Config } from '../../policies/config/config.ts';
import type { Fields } from '../../policies/http/fields.ts';
import type { UrlPlace } from '../../policies/url-place.ts';
import type { JournalAdmin } from '../writes/journal-admin.ts';
import type { FeedStatus } from '../feeds/status.ts';
import type { Log } from '../observability/logger.ts';
import type { WaitsFor } from './waits-for.ts';

/** The access rule that refused a request. */
export type AdminDenial = Exclude<AdminAccess['kind'], 'allowed'> | 'token';

export interface AdminDependencies {
  /** Empty if no token is required. */
  readonly token: string;
  readonly log: Log;
  /** Called for each request that an access rule refuses. */
  onRefused(reason: AdminDenial): void;
  /** Returns the configuration in force, which a reload replaces. */
  config(): Config;
  /** Returns plain data for JSON. */
  stats(): Promise<object>;
  /** Returns the metrics in the Prometheus text format. */
  metrics(): Promise<string>;
  ready(): Promise<Readiness>;
  /** The configured functions that Weir can't perform while it serves, one sentence each. */
  problems(): readonly string[];
  /** Resolves when the invalidation is in force in every worker and synced, or when the sync has failed. */
  invalidate(tags: readonly string[], mode: 'hard' | 'soft'): Promise<InvalidateResult>;
  /** Scans for entries that have any of the tags, and changes nothing. */
  findEntries(tags: readonly string[]): Promise<FoundEntries>;
  /** Returns what is stored for a GET of this place with these request fields; `scheme` is that of an absolute URL. */
  entries(place: UrlPlace, fields: Fields, scheme: 'http' | 'https'): Promise<EntriesResult>;
  feeds(): readonly FeedStatus[];
  readonly writes: Pick<JournalAdmin, 'list' | 'show' | 'retry' | 'discard'>;
  /** Null or absent if an embedding program controls reload and stop. */
  readonly control?: Control | null;
}

/** Reload and stop, as `weir serve` runs them for a signal or for an operator's request. */
export interface Control {
  /** Reads the configuration again and puts it in force. */
  reload(): Promise<ReloadAnswer>;
  /** Begins to stop. A second call does nothing. */
  stop(): Stopping;
}

export type ReloadAnswer =
  | ({ readonly kind: 'reloaded' } & Reloaded)
  /** Nothing was changed. `errors` has one line for each error. */
  | { readonly kind: 'refused'; readonly errors: readonly string[] };

export interface Reloaded {
  /** The routes whose entries are revalidated. */
  readonly invalidatedRoutes: readonly string[];
  readonly warnings: readonly string[];
}

export interface Stopping {
  readonly pid: number;
  /** How long requests under way may take. */
  readonly graceSeconds: number;
}

export interface Readiness {
  readonly ready: boolean;
  /** The reasons for not being ready, a few words each. */
  readonly reasons: readonly string[];
  /** Present only during a stop. */
  readonly waitsFor?: WaitsFor;
}

export type InvalidateResult =
  | { readonly kind: 'done'; readonly sequence: number }
  /** The state could not be written, so the invalidation would not survive a crash. */
  | { readonly kind: 'not-durable'; readonly detail: string };

/** The indexes of workers that did not answer in time. The answer omits what only these workers hold in memory. */
export type SilentWorkers = readonly number[];

export interface FoundEntries {
  readonly entries: number;
  /** The URLs of some of the entries. */
  readonly sample: readonly string[];
  /** False if the scan ended before it had read every entry, or if a worker did not answer. */
  readonly complete: boolean;
  readonly silent?: SilentWorkers;
}

export type EntriesResult =
  | { readonly kind: 'report'; readonly report: EntriesReport }
  | { readonly kind: 'no-route' }
  /** The URL names no host, and the origin receives the client's host. */
  | { readonly kind: 'host-needed' };

export interface EntriesReport {
  readonly key: string;
  readonly entries: readonly EntryReport[];
  readonly silent?: SilentWorkers;
}

/** One stored response as operators see it. Ages and lifetimes are in seconds, the size is in bytes. */
export interface EntryReport {
  readonly id: string;
  readonly status: number;
  /** The field names in Vary with the request values that match the entry; null means that the field was absent. */
  readonly vary: Readonly<Record<string, string | null>>;
  readonly tags: readonly string[];
  readonly age: number;
  /** Negative if the entry is stale: the seconds since it became stale. */
  readonly freshFor: number;
  readonly floor: number;
  readonly size: number;
  readonly levels: readonly ('memory' | 'disk')[];
  /** The entry can be served as fresh, without a request to the origin. */
  readonly usable: boolean;
  /** The reason, with the same names as in logs and `Cache-Status`. */
  readonly why: string;
}
