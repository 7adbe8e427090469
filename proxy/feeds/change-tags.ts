import type { Config } from '../../policies/config/config.ts';
import type { MappedChange } from '../../policies/mapping.ts';
import { tagOfName } from '../../policies/tags.ts';
import { tagsOfPrefix, tagsOfUrl } from '../../policies/url-tags.ts';

/** The fence's tags for what a change names. A text that is not a URL invalidates the feed's whole scope. */
export function tagsOfChange(
  config: Config,
  named: Pick<MappedChange, 'tags' | 'urls' | 'prefixes'>,
  scope: readonly string[],
): string[] {
  return [
    ...named.tags.map(tagOfName),
    ...named.urls.flatMap((url) => tagsOfUrl(config, url) ?? scope),
    ...named.prefixes.flatMap((prefix) => tagsOfPrefix(config, prefix) ?? scope),
  ];
}
