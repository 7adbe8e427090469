/** Computes what a feed's message would invalidate under a configuration, without any network request. */
import type { Config, FeedConfig } from '../../policies/config/config.ts';
import { feedScope } from '../../policies/feed-scope.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { compileMapping, type MappedChange } from '../../policies/mapping.ts';
import { formats, messageEvent } from '../../origin-adapters/formats/formats.ts';
import { systemClock } from '../threads/clock.ts';
import { tagsOfChange } from '../feeds/change-tags.ts';
import { batchOf } from '../feeds/change-batch.ts';

export interface ExplainedEvent {
  readonly feed: string;
  readonly format: FeedConfig['format'];
  readonly verdict:
    /** Exactly what the message's changes name. */
    | { readonly kind: 'named' }
    /** Nothing: the message has no changes, or no entry of the map matches them. */
    | { readonly kind: 'nothing' }
    /** The feed's whole scope, because the message does not fully identify what changed. */
    | { readonly kind: 'scope'; readonly reason: string };
  readonly changes: readonly MappedChange[];
  /** Tags as entries have them. All are invalidated together. */
  readonly tags: readonly string[];
}

/** `body` is the message as the feed would deliver it; `fields` are its headers. */
export async function explainEvent(
  config: Config,
  feed: FeedConfig,
  body: Uint8Array,
  fields: Fields,
): Promise<ExplainedEvent> {
  const mapping = compileMapping(feed.map);
  const scope = feedScope(feed, Object.keys(config.origins));
  const event = messageEvent(formats[feed.format], { body, fields }, '');
  const tagsOf = (named: Pick<MappedChange, 'tags' | 'urls' | 'prefixes'>): string[] =>
    tagsOfChange(config, named, scope);
  const maker = { mapping, versionField: feed.versionField, clock: systemClock, scope, tagsOf };
  const step = event.kind === 'failed' ? null : await batchOf(event, maker, 0);
  const tags = step?.kind === 'invalidate' ? step.tags : [];
  const reason = step?.kind === 'invalidate' ? step.reason : '';
  return {
    feed: feed.name,
    format: feed.format,
    verdict: reason !== '' ? { kind: 'scope', reason } : { kind: tags.length > 0 ? 'named' : 'nothing' },
    changes: event.kind === 'change' ? event.changes.map((change) => mapping.mapChange(change)) : [],
    tags,
  };
}
