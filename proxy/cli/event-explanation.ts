/** What a message of a feed would invalidate under a configuration, worked out without asking anybody. */
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
    /** Exactly what its changes name. */
    | { readonly kind: 'named' }
    /** Nothing: no entry of the map takes any of its changes, or it has none. */
    | { readonly kind: 'nothing' }
    /** All that the feed may change, for what the message concerns is not fully known. */
    | { readonly kind: 'scope'; readonly reason: string };
  readonly changes: readonly MappedChange[];
  /** As entries bear them; all of them become invalid together. */
  readonly tags: readonly string[];
}

/** `body`: the message as the feed would bring it; `fields`: its headers. */
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
