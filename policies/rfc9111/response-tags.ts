/** The tags that a response names itself: Surrogate-Key, xkey, Cache-Tag, and Cache-Groups of RFC 9875. */
import { fieldValues, trimmed } from '../http/fields.ts';
import type { Fields } from '../http/fields.ts';
import { stringListField } from '../http/structured-fields.ts';
import { textOfBytes } from '../names.ts';
import { tagOfGroup, tagOfName } from '../tags.ts';

/**
 * In the form of `tagOfName` and `tagOfGroup`, each once. A Cache-Groups that does not parse counts as absent (§2). A group
 * is a tag as well, by which operators and feeds name it: by Cache-Group-Invalidation it is that of its site alone.
 */
export function responseTags(fields: Fields, authority: string): string[] {
  const tags = new Set<string>();
  for (const name of named(fields, 'surrogate-key', /[ \t]+/)) tags.add(tagOfName(name));
  for (const name of named(fields, 'xkey', /[ \t,]+/)) tags.add(tagOfName(name));
  for (const name of named(fields, 'cache-tag', /,/)) tags.add(tagOfName(name));
  for (const group of stringListField(fields, 'cache-groups') ?? []) {
    tags.add(tagOfGroup(authority, group)).add(tagOfName(group));
  }
  return [...tags];
}

function named(fields: Fields, field: string, separator: RegExp): string[] {
  return fieldValues(fields, field)
    .flatMap((value) => value.split(separator))
    .map((name) => textOfBytes(trimmed(name)))
    .filter((name) => name !== '');
}
