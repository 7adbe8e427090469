/**
 * One fetch as a state machine: a request to the origin, from the choice of its conditions to the commit of the entry. Each
 * state's function returns the next state; `head`, `publish`, `body` and `store` wait for an event instead. `TRANSITIONS`
 * lists which states may follow which.
 *
 * `fetch.ts` runs the machine; states of more than a few lines are in `states/`. Two decisions are made elsewhere: what a
 * response means for stored entries (`policies/rfc9111/learning.ts`, applied by `store/learner.ts`), and which waiters share
 * it (`policies/rfc9111/sharing.ts`, when the flight receives the result).
 */
import type { Fields } from '../../policies/http/fields.ts';
import type { NotStoredReason, StoredMeta } from '../../policies/model.ts';
import type { OriginFailure } from '../../origin-adapters/origin.ts';
import type { StoredEntry } from '../store/entry.ts';
import type { Lesson } from '../store/learner.ts';
import type { FetchContent } from './fetch-content.ts';
import type { FlightResult } from './flight-result.ts';

/** Each state with the states that may follow it. */
export const TRANSITIONS = {
  start: ['head'],
  head: ['confirm', 'complete', 'storable', 'private', 'retry', 'fail', 'abandon'],
  confirm: ['publish', 'deliver', 'retry'],
  complete: ['publish', 'deliver', 'retry'],
  storable: ['publish', 'deliver', 'private'],
  private: ['publish', 'deliver'],
  publish: ['deliver', 'retry', 'fail', 'abandon'],
  deliver: ['body', 'end'],
  body: ['store', 'end', 'cut', 'abandon'],
  store: ['end'],
  retry: ['head'],
  fail: ['cut'],
  abandon: ['cut'],
  cut: ['end'],
  end: [],
} as const satisfies Readonly<Record<FetchState['at'], readonly FetchState['at'][]>>;

/** The state of that name, with its data. */
export type FetchStateAt<At extends FetchState['at']> = Extract<FetchState, { readonly at: At }>;

/** The states that may follow `At`. */
export type NextFetchState<At extends FetchState['at']> = FetchStateAt<(typeof TRANSITIONS)[At][number]>;

export type FetchState =
  | { readonly at: 'start' }
  /** The request is sent; the response's head is awaited. */
  | { readonly at: 'head'; readonly asked: AskedEntries }
  /** The response is a 304. */
  | { readonly at: 'confirm'; readonly asked: AskedEntries; readonly fields: Fields }
  /** 206 to a request for the rest of a stored part. */
  | {
      readonly at: 'complete';
      readonly asked: AskedEntries;
      readonly status: number;
      readonly fields: Fields;
    }
  /** A response that may be stored. */
  | {
      readonly at: 'storable';
      readonly asked: AskedEntries;
      readonly status: number;
      readonly fields: Fields;
      readonly meta: StoredMeta;
    }
  /** A response that is not stored: only the client whose request was sent receives it. */
  | {
      readonly at: 'private';
      readonly status: number;
      readonly fields: Fields;
      readonly reason: NotStoredReason;
      readonly lesson: Lesson;
    }
  /** The other workers first apply the response to their stored entries. */
  | {
      readonly at: 'publish';
      readonly until: Promise<NextFetchState<'publish'>>;
      /** Receives the content meanwhile; null: the response has none. */
      readonly content: FetchContent | null;
    }
  /** The waiters receive the result. */
  | { readonly at: 'deliver'; readonly result: FlightResult; readonly content: FetchContent | null }
  /** The content is being received. */
  | { readonly at: 'body'; readonly content: FetchContent }
  /** The content is complete and is being committed to the tiers. */
  | { readonly at: 'store'; readonly content: FetchContent; readonly trailers: Fields }
  /** The request is sent again without conditions. */
  | { readonly at: 'retry'; readonly asked: AskedEntries }
  /** The origin failed before anything was delivered. */
  | { readonly at: 'fail'; readonly failure: OriginFailure; readonly content: FetchContent | null }
  /** The response has no waiter, reader or writer any more. */
  | { readonly at: 'abandon'; readonly content: FetchContent | null }
  /** The content is incomplete. */
  | { readonly at: 'cut'; readonly content: FetchContent | null }
  | { readonly at: 'end' };

/** Stored entries that the request asks the origin to confirm or to complete. */
export interface AskedEntries {
  /** Entries that could have answered the request. */
  readonly own: readonly StoredEntry[];
  /** Entries of other variants, whose content the origin may select for this request (RFC 9111 §4.1). */
  readonly others: readonly StoredEntry[];
  /** A stored part that the origin is asked to complete (RFC 9111 §3.4). */
  readonly incomplete: StoredEntry | null;
  /** The fields that are added to the request for these entries. */
  readonly conditions: Fields;
  /** A stored entry still answers other requests without validation: only the client's directives caused this fetch. */
  readonly replacesServed: boolean;
}

/** The events that a fetch receives. */
export type FetchEvent =
  | { readonly kind: 'head'; readonly status: number; readonly fields: Fields }
  | { readonly kind: 'data'; readonly chunk: Uint8Array }
  | { readonly kind: 'end'; readonly trailers: Fields }
  | { readonly kind: 'failure'; readonly failure: OriginFailure }
  /** The result has no waiter any more. */
  | { readonly kind: 'abandoned' }
  /** The content has no reader and is not stored. */
  | { readonly kind: 'deserted' }
  /** The promise that the state `by` waited for has resolved. */
  | { readonly kind: 'published'; readonly by: FetchState; readonly next: NextFetchState<'publish'> }
  /** The entry can be found in the tiers, or it will never be stored. */
  | { readonly kind: 'stored' };
