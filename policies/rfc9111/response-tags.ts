/** The tags that a response names: Surrogate-Key, xkey, Cache-Tag, and Cache-Groups (RFC 9875 §2). */
import { fieldValues, hasField, trimmed } from '../http/fields.ts';
import type { Fields } from '../http/fields.ts';
import { stringListField } from '../http/structured-fields.ts';
import { textOfBytes } from '../names.ts';
import { tagOfGroup, tagOfName } from '../tags.ts';

/**
 * The tags as `tagOfName` and `tagOfGroup` write them, each once. A malformed Cache-Groups counts as absent (RFC 9875
 * §2). Each group is also an ordinary tag, so that operators and feeds can invalidate it; Cache-Group-Invalidation
 * reaches only the group of its own site.
 */
export function responseTags(fields: Fields, authority: string): readonly string[] {
  if (!TAG_FIELDS.some((name) => hasField(fields, name))) return NO_TAGS;
  const tags = new Set<string>();
  for (const name of named(fields, 'surrogate-key', /[ \t]+/)) tags.add(tagOfName(name));
  for (const name of named(fields, 'xkey', /[ \t,]+/)) tags.add(tagOfName(name));
  for (const name of named(fields, 'cache-tag', /,/)) tags.add(tagOfName(name));
  for (const group of stringListField(fields, 'cache-groups') ?? []) {
    tags.add(tagOfGroup(authority, group)).add(tagOfName(group));
  }
  return [...tags];
}

const TAG_FIELDS = ['surrogate-key', 'xkey', 'cache-tag', 'cache-groups'];
const NO_TAGS: readonly string[] = [];

function named(fields: Fields, field: string, separator: RegExp): string[] {
  return fieldValues(fields, field)
    .flatMap((value) => value.split(separator))
    .map((name) => textOfBytes(trimmed(name)))
    .filter((name) => name !== '');
}
