import type { FeedConfig } from '../../policies/config/config.ts';
import type { FeedEvent } from '../feeds/feed.ts';
import { parseCloudEvents } from './cloudevents.ts';
import { parseDebezium } from './debezium.ts';
import type { Format, FormatMessage } from './format.ts';
import { parseJson } from './json.ts';

/** The formats by their names in the configuration. */
export const formats: Readonly<Record<FeedConfig['format'], Format>> = {
  json: parseJson,
  cloudevents: parseCloudEvents,
  debezium: parseDebezium,
};

/** The feed event of a message at that position. */
export function messageEvent(format: Format, message: FormatMessage, position: string): FeedEvent {
  const parsed = format(message);
  return parsed.kind === 'transaction'
    ? { kind: 'change', position, changes: parsed.changes }
    : { kind: 'unintelligible', position, reason: parsed.reason };
}
