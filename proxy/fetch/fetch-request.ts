import type { Fields } from '../../policies/http/fields.ts';
import type { NotStoredReason, RequestView } from '../../policies/model.ts';
import type { FailureScope } from '../../policies/origin-failures.ts';
import type { OriginFailure } from '../../origin-adapters/origin.ts';
import type { StoredEntry } from '../store/entry.ts';
import type { FlightBody } from '../store/body.ts';

/** A request that may be sent to the origin for several clients: plain data that passes between workers. */
export interface FetchRequest {
  /** The primary cache key. */
  readonly key: string;
  readonly route: string;
  /** HEAD: the origin is asked for no content. */
  readonly method: 'GET' | 'HEAD';
  /** Normalised; `query` as keyed, empty: none. */
  readonly path: string;
  readonly query: string;
  /** Effective, of the client's request. */
  readonly authority: string;
  readonly scheme: string;
  /** The client's, by which Vary selects. */
  readonly request: RequestView;
  /** What the origin is sent, without validators. */
  readonly originFields: Fields;
  /** A part is asked for, by the client's Range and If-Range among `originFields`; else the whole. */
  readonly asksPart: boolean;
  /** Of the route's own templates, beside what every entry bears. */
  readonly routeTags: readonly string[];
  readonly priority: 'client' | 'background';
  /** Whoever asks has something stored that could have answered it. */
  readonly hasStored: boolean;
}

/** Somebody who waits for the result of a fetch: a client, another worker, or nobody in the background. */
export interface Waiter {
  /** The fence's sequence when the request came. */
  readonly arrival: number;
  /** Wall clock, when the request came. */
  readonly arrivedAtMs: number;
  /** Monotonic, when it began to wait: what is asked of the origin from then on is asked after it came. */
  readonly waitsSinceMs: number;
  readonly request: RequestView;
  /** Called once. */
  deliver(result: FetchResult): void;
  /** An interim response other than 100 and 101. */
  inform(status: number, fields: Fields): void;
}

export type FetchResult =
  | FetchedEntry
  /** An answer for this waiter alone. */
  | {
      readonly kind: 'pass';
      readonly status: number;
      readonly fields: Fields;
      readonly body: FlightBody;
      readonly reason: NotStoredReason;
    }
  /** The answer was for another client alone: ask the origin for oneself. */
  | { readonly kind: 'private'; readonly reason: NotStoredReason }
  | ({ readonly kind: 'failed'; readonly failure: OriginFailure } & FailureTerms)
  /** The origin answered another request with this status, and would do so with this one. */
  | ({ readonly kind: 'failing'; readonly status: number } & FailureTerms)
  /** More wait than may. */
  | { readonly kind: 'refused'; readonly limit: 'waiters' | 'waiting' };

/** For whom else a failure stands, and until when (monotonic); 0: for nobody who comes later. */
export interface FailureTerms {
  readonly scope: FailureScope;
  readonly untilMs: number;
}

export interface FetchedEntry {
  readonly kind: 'entry';
  /** Without an id it has no content at all, and is not stored. Else its content is in memory, or else in `body` where that is given, or else on disk. */
  readonly entry: StoredEntry;
  readonly body: FlightBody | null;
  /** Of the origin's answer: 304 where it confirmed the entry; null: the origin was not asked. */
  readonly originStatus: number | null;
  /** Somebody else's request was the one that was sent. */
  readonly collapsed: boolean;
  /** Fields for this waiter alone, which are not stored. */
  readonly ownFields: Fields;
}
