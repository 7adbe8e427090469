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
  /** HEAD: the request to the origin asks for no content. */
  readonly method: 'GET' | 'HEAD';
  /** Normalised; `query` as the key has it; empty: none. */
  readonly path: string;
  readonly query: string;
  /** The effective authority of the client's request. */
  readonly authority: string;
  readonly scheme: string;
  /** The client's request, by whose fields Vary selects. */
  readonly request: RequestView;
  /** The fields that are sent to the origin, without validators. */
  readonly originFields: Fields;
  /** The request asks for a part: `originFields` contain the client's Range and If-Range. */
  readonly asksPart: boolean;
  /** Tags from the route's templates, in addition to those that every entry has. */
  readonly routeTags: readonly string[];
  readonly priority: 'client' | 'background';
  /** The requester has a stored entry that could have answered the request. */
  readonly hasStored: boolean;
}

/** A waiter for the result of a fetch: a client, another worker, or a background refresh. */
export interface Waiter {
  /** The fence's sequence when the request arrived. */
  readonly arrival: number;
  /** Wall clock, when the request arrived. */
  readonly arrivedAtMs: number;
  /** Monotonic time at which the wait began: a request sent to the origin later was sent after this request arrived. */
  readonly waitsSinceMs: number;
  readonly request: RequestView;
  /** Called once. */
  deliver(result: FetchResult): void;
  /** An interim response other than 100 and 101. */
  inform(status: number, fields: Fields): void;
}

/** What a waiter is given. */
export type FetchResult =
  | GivenResult
  | ({ readonly kind: 'failed'; readonly failure: OriginFailure } & FailureTerms)
  /** The origin answered another request with this status; the status also answers this request. */
  | ({ readonly kind: 'failing'; readonly status: number } & FailureTerms);

/** The results that a fetch has and its waiters are given alike. */
export type GivenResult =
  | FetchedEntry
  | PassedResult
  /** The response was private to another client: this waiter must send its own request. */
  | { readonly kind: 'private'; readonly reason: NotStoredReason }
  /** The limit of waiters is exceeded. */
  | { readonly kind: 'refused'; readonly limit: 'waiters' | 'waiting' };

/** A response of the origin that may not be stored, for one waiter only. */
export interface PassedResult {
  readonly kind: 'pass';
  readonly status: number;
  readonly fields: Fields;
  readonly body: FlightBody;
  readonly reason: NotStoredReason;
}

/** Which other requests a failure answers, and until when (monotonic); 0: no later request. */
export interface FailureTerms {
  readonly scope: FailureScope;
  readonly untilMs: number;
}

export interface FetchedEntry {
  readonly kind: 'entry';
  /**
   * An entry without an id (the response to a HEAD) has no content and is not stored. The content of any other is in
   * `entry.content`; if that is null, in `body`; if that is null too, on disk.
   */
  readonly entry: StoredEntry;
  readonly body: FlightBody | null;
  /** The status of the origin's response: 304 if it confirmed the entry; null: no request was sent. */
  readonly originStatus: number | null;
  /** Another waiter's request was sent to the origin. */
  readonly collapsed: boolean;
  /** Fields for this waiter alone, which are not stored. */
  readonly ownFields: Fields;
}
