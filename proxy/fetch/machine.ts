/**
 * One fetch as a state machine: a request to the origin, from what is asked to the last byte that is stored. Each state's
 * function returns the next state; `head`, `publish`, `body` and `store` wait for an event instead. `TRANSITIONS` lists
 * which states may follow which.
 *
 * `fetch.ts` runs the machine; states of more than a few lines are in `states/`. Two decisions are made elsewhere: what a
 * response says about what is stored (`policies/rfc9111/learning.ts`, carried out by `store/learner.ts`), and with whom
 * it is shared (`policies/rfc9111/sharing.ts`, when the flight is given the result).
 */
import type { Fields } from '../../policies/http/fields.ts';
import type { NotStoredReason, StoredMeta } from '../../policies/model.ts';
import type { OriginFailure } from '../../origin-adapters/origin.ts';
import type { StoredEntry } from '../store/entry.ts';
import type { Lesson } from '../store/learner.ts';
import type { FetchContent } from './fetch-content.ts';
import type { FlightResult } from './flight-result.ts';

/** Each state with those that may follow. */
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

/** What may follow the state. */
export type NextFetchState<At extends FetchState['at']> = FetchStateAt<(typeof TRANSITIONS)[At][number]>;

export type FetchState =
  | { readonly at: 'start' }
  /** The request is sent, and its response's head awaited. */
  | { readonly at: 'head'; readonly asked: AskedEntries }
  /** 304. */
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
  /** A response that is not stored: for the client alone whose request was sent. */
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
      /** What comes in meanwhile. */
      readonly content: FetchContent | null;
    }
  /** The waiters receive the result. */
  | { readonly at: 'deliver'; readonly result: FlightResult; readonly content: FetchContent | null }
  /** The content is being received. */
  | { readonly at: 'body'; readonly content: FetchContent }
  /** The content is whole, and being brought to where the entry is found. */
  | { readonly at: 'store'; readonly content: FetchContent; readonly trailers: Fields }
  /** The request is sent again without conditions. */
  | { readonly at: 'retry'; readonly asked: AskedEntries }
  /** The origin failed before anything was delivered. */
  | { readonly at: 'fail'; readonly failure: OriginFailure; readonly content: FetchContent | null }
  /** The response has no waiter, no reader and no writer any more. */
  | { readonly at: 'abandon'; readonly content: FetchContent | null }
  /** The content is incomplete. */
  | { readonly at: 'cut'; readonly content: FetchContent | null }
  | { readonly at: 'end' };

/** What the origin is asked about besides the request itself. */
export interface AskedEntries {
  /** Entries that could have answered the request. */
  readonly own: readonly StoredEntry[];
  /** Entries for other requests, whose content would do (RFC 9111 §4.1). */
  readonly others: readonly StoredEntry[];
  /** A stored part that the origin is asked to complete (RFC 9111 §3.4). */
  readonly incomplete: StoredEntry | null;
  /** What is added to the request for these. */
  readonly conditions: Fields;
  /** Only the client's directives had it asked for: others are served still, from copies of what is stored. */
  readonly replacesServed: boolean;
}

/** What happens to a fetch from outside. */
export type FetchEvent =
  | { readonly kind: 'head'; readonly status: number; readonly fields: Fields }
  | { readonly kind: 'data'; readonly chunk: Uint8Array }
  | { readonly kind: 'end'; readonly trailers: Fields }
  | { readonly kind: 'failure'; readonly failure: OriginFailure }
  /** The result has no waiter any more. */
  | { readonly kind: 'abandoned' }
  /** The content has no reader and is not stored. */
  | { readonly kind: 'deserted' }
  /** What the state `by` waited for is done. */
  | { readonly kind: 'published'; readonly by: FetchState; readonly next: NextFetchState<'publish'> }
  /** The entry can be found in the tiers, or it will never be stored. */
  | { readonly kind: 'stored' };
