import type { Change } from '../../policies/change.ts';
import type { Fields } from '../../policies/http/fields.ts';

/** Reads one message of a feed, of any transport that carries bytes. Never throws. */
export type Format = (message: FormatMessage) => ParsedMessage;

export interface FormatMessage {
  readonly body: Uint8Array;
  /** The message's headers: `content-type`, `ce-…`. Adapters rename `ce_id` to `ce-id`. */
  readonly fields: Fields;
  /** The message's key, if the transport has one (Kafka). */
  readonly key?: Uint8Array | null;
}

export type ParsedMessage =
  /** One message is one transaction; empty if it concerns no rows (a tombstone, a marker). */
  | { readonly kind: 'transaction'; readonly changes: readonly Change[] }
  | { readonly kind: 'unintelligible'; readonly reason: string };
