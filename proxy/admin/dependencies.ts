/** What the admin side shows and does, as the coordinator provides it. */
import type { AdminAccess } from '../../policies/admin-access.ts';
import type { Config } from '../../policies/config/config.ts';
import type { Fields } from '../../policies/http/fields.ts';
import type { UrlPlace } from '../../policies/url-place.ts';
import type { JournalAdmin } from '../writes/journal-admin.ts';
import type { FeedStatus } from '../feeds/status.ts';
import type { Log } from '../observability/logger.ts';
import type { WaitsFor } from './waits-for.ts';

/** By which rule of access a request was not taken. */
export type AdminRefusal = Exclude<AdminAccess['kind'], 'allowed'> | 'token';

export interface AdminDependencies {
  /** Empty: none is asked for. */
  readonly token: string;
  readonly log: Log;
  /** Called where a request was not taken. */
  onRefused(reason: AdminRefusal): void;
  /** The one in force; another one after a reload. */
  config(): Config;
  /** Plain data for JSON. */
  stats(): Promise<object>;
  /** The Prometheus text format. */
  metrics(): Promise<string>;
  ready(): Promise<Readiness>;
  /** What it can't do although it serves; each in a sentence. */
  problems(): readonly string[];
  /** Resolves when the invalidation binds every worker and is synced, or could not be. */
  invalidate(tags: readonly string[], mode: 'hard' | 'soft'): Promise<InvalidateResult>;
  /** Scans for entries that bear any of the tags, and changes nothing. */
  findEntries(tags: readonly string[]): Promise<FoundEntries>;
  /** What is stored for a GET of this place with these request fields; `scheme` of an absolute URL. */
  entries(place: UrlPlace, fields: Fields, scheme: 'http' | 'https'): Promise<EntriesResult>;
  feeds(): readonly FeedStatus[];
  readonly writes: Pick<JournalAdmin, 'list' | 'show' | 'retry' | 'discard'>;
  /** Null or absent where the program that embeds Weir decides over both. */
  readonly control?: Control | null;
}

/** What `weir serve` does for a signal or for an operator's request. */
export interface Control {
  /** Reads the configuration again and puts it in force. */
  reload(): Promise<ReloadAnswer>;
  /** Begins to stop; once more does nothing. */
  stop(): Stopping;
}

export type ReloadAnswer =
  | ({ readonly kind: 'reloaded' } & Reloaded)
  /** Nothing was changed; each thing that is wrong is a line. */
  | { readonly kind: 'refused'; readonly errors: readonly string[] };

export interface Reloaded {
  /** Those whose entries are revalidated. */
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
  /** Why not, each in a few words. */
  readonly reasons: readonly string[];
  /** While it stops. */
  readonly waitsFor?: WaitsFor;
}

export type InvalidateResult =
  | { readonly kind: 'done'; readonly sequence: number }
  /** The state could not be written; what was asked for would not survive a crash. */
  | { readonly kind: 'not-durable'; readonly detail: string };

/** The places of the workers that did not answer in time, if any: what only they hold in memory is left out. */
export type SilentWorkers = readonly number[];

export interface FoundEntries {
  readonly entries: number;
  /** URLs of some of them. */
  readonly sample: readonly string[];
  /** False: the scan was ended before it had seen all, or a worker was silent. */
  readonly complete: boolean;
  readonly silent?: SilentWorkers;
}

export type EntriesResult =
  | { readonly kind: 'report'; readonly report: EntriesReport }
  | { readonly kind: 'no-route' }
  /** The origin sees the client's host, and the URL names none. */
  | { readonly kind: 'host-needed' };

export interface EntriesReport {
  readonly key: string;
  readonly entries: readonly EntryReport[];
  readonly silent?: SilentWorkers;
}

/** One stored response as operators see it. Ages and lifetimes in seconds, size in bytes. */
export interface EntryReport {
  readonly id: string;
  readonly status: number;
  /** The names that Vary gave, with the values that the entry answers to; null: the field was absent. */
  readonly vary: Readonly<Record<string, string | null>>;
  readonly tags: readonly string[];
  readonly age: number;
  /** Negative: stale for so long. */
  readonly freshFor: number;
  readonly floor: number;
  readonly size: number;
  readonly levels: readonly ('memory' | 'disk')[];
  /** As fresh, without asking the origin. */
  readonly usable: boolean;
  /** The reason, in the words of logs and `Cache-Status`. */
  readonly why: string;
}
