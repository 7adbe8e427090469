import type { Fields } from '../../../policies/http/fields.ts';
import type { NotStoredReason } from '../../../policies/model.ts';
import type { OriginFailure } from '../../../origin-adapters/origin.ts';
import type { EntryHead } from '../../store/entry-head.ts';
import type { FailureTerms, FetchRequest } from '../fetch-request.ts';

/**
 * Messages between workers about flights. A flight runs in the worker that has claimed the key. Other workers subscribe
 * to it, each under its own id, and grant credit for the bytes of content that the owner may send.
 */
export type PeerMessage =
  | {
      readonly kind: 'join';
      readonly id: number;
      readonly fetch: FetchRequest;
      readonly arrival: number;
      readonly arrivedAtMs: number;
      readonly waitsSinceMs: number;
    }
  | { readonly kind: 'credit'; readonly id: number; readonly bytes: number }
  | { readonly kind: 'leave'; readonly id: number }
  | { readonly kind: 'inform'; readonly id: number; readonly status: number; readonly fields: Fields }
  | {
      readonly kind: 'entry';
      readonly id: number;
      readonly head: EntryHead;
      readonly originStatus: number | null;
      readonly collapsed: boolean;
      readonly ownFields: Fields;
      /** Whether content follows within the credit; otherwise it is on disk. */
      readonly streams: boolean;
      /** Whether the content is being written to disk; `stored` messages report its progress. */
      readonly stores: boolean;
    }
  | {
      readonly kind: 'pass';
      readonly id: number;
      readonly status: number;
      readonly fields: Fields;
      readonly reason: NotStoredReason;
    }
  | { readonly kind: 'data'; readonly id: number; readonly bytes: Uint8Array<ArrayBuffer> }
  /** `length` bytes of the content can be read from disk; 0: it is no longer stored. */
  | { readonly kind: 'stored'; readonly id: number; readonly length: number }
  | { readonly kind: 'end'; readonly id: number; readonly trailers: Fields }
  | { readonly kind: 'cut'; readonly id: number }
  /** Another worker has claimed the key since: the subscriber has to look anew for the one that runs the flights. */
  | { readonly kind: 'moved'; readonly id: number }
  | { readonly kind: 'private'; readonly id: number; readonly reason: NotStoredReason }
  | ({
      readonly kind: 'failed';
      readonly id: number;
      readonly failure: Omit<OriginFailure, 'cause'>;
    } & FailureTerms)
  | ({ readonly kind: 'failing'; readonly id: number; readonly status: number } & FailureTerms)
  | { readonly kind: 'refused'; readonly id: number; readonly limit: 'waiters' | 'waiting' };
