import type { Fields } from '../../policies/http/fields.ts';
import type { NotStoredReason } from '../../policies/model.ts';
import type { OriginFailure } from '../../origin-adapters/origin.ts';
import type { FlightBody } from '../store/body.ts';
import type { StoredEntry } from '../store/entry.ts';
import type { FailureTerms } from './fetch-request.ts';

/** The result of a fetch, before it is given to the waiters. */
export type FlightResult =
  | {
      readonly kind: 'entry';
      readonly entry: StoredEntry;
      readonly body: FlightBody | null;
      readonly originStatus: number | null;
      readonly collapsed: boolean;
      /** Fields of the origin's response that only the leader of the flight receives, and that are not stored. */
      readonly ownFields: Fields;
    }
  | {
      readonly kind: 'pass';
      readonly status: number;
      readonly fields: Fields;
      readonly body: FlightBody;
      readonly reason: NotStoredReason;
    }
  | { readonly kind: 'private'; readonly reason: NotStoredReason }
  /** `judged`: the terms that the worker that asked the origin has decided; null: this worker asked. */
  | { readonly kind: 'failed'; readonly failure: OriginFailure; readonly judged: FailureTerms | null }
  | { readonly kind: 'failing'; readonly status: number; readonly judged: FailureTerms }
  | { readonly kind: 'refused'; readonly limit: 'waiters' | 'waiting' }
  /** The worker that ran the fetch has died: all waiters start again. */
  | { readonly kind: 'owner-lost' };

/** Called by a fetch from the origin or from another worker. */
export interface FetchEvents {
  inform(status: number, fields: Fields): void;
  deliver(result: FlightResult): void;
  /** The fetch is finished: its entry, if any, can be found in the tiers. May be called more than once. */
  over(): void;
}
