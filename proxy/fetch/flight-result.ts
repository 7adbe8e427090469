import type { Fields } from '../../policies/http/fields.ts';
import type { OriginFailure } from '../../origin-adapters/origin.ts';
import type { FailureTerms, GivenResult } from './fetch-request.ts';

/** The result of a fetch, before it is given to the waiters. */
export type FlightResult =
  | GivenResult
  /** `judged`: the terms that the worker that asked the origin has decided; null: this worker asked. */
  | { readonly kind: 'failed'; readonly failure: OriginFailure; readonly judged: FailureTerms | null }
  | { readonly kind: 'failing'; readonly status: number; readonly judged: FailureTerms }
  /** The worker that ran the fetch has died: all waiters start again. */
  | { readonly kind: 'owner-lost' }
  /** The worker that was asked for the flight does not run the key's flights any more. */
  | { readonly kind: 'owner-moved' };

/** Called by a fetch from the origin or from another worker. */
export interface FetchEvents {
  inform(status: number, fields: Fields): void;
  deliver(result: FlightResult): void;
  /** The fetch is finished: its entry, if any, can be found in the tiers. May be called more than once. */
  over(): void;
}
