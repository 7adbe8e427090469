import type { Change } from '../../policies/change.ts';
import type { Fields } from '../../policies/http/fields.ts';

/** Reads one message of a feed, for any transport that carries bytes. Never throws. */
export type Format = (message: FormatMessage) => ParsedMessage;

export interface FormatMessage {
  readonly body: Uint8Array;
  /** The message's own headers: `content-type`, `ce-…` (where a transport writes `ce_id`, the adapter makes it `ce-id`). */
  readonly fields: Fields;
  /** The message's key, where the transport has one (Kafka). */
  readonly key?: Uint8Array | null;
}

export type ParsedMessage =
  /** What one message says is one transaction. Empty: it says nothing of rows (a tombstone, a marker). */
  | { readonly kind: 'transaction'; readonly changes: readonly Change[] }
  | { readonly kind: 'unintelligible'; readonly reason: string };
