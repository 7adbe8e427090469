import type { Fields } from '../../policies/http/fields.ts';
import type { DeliveryAnswer } from '../../origin-adapters/feeds/feed.ts';

/** A worker's calls to the coordinator's feeds. */
export type FeedCalls = {
  /** A delivery to a webhook feed, whose path is normalised. */
  deliver(argument: WebhookDelivery): DeliveryAnswer;
};

export interface WebhookDelivery {
  readonly path: string;
  readonly method: string;
  readonly fields: Fields;
  readonly body: Uint8Array;
}
