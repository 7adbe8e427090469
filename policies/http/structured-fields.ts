/** Structured fields (RFC 9651) read without throwing: what does not parse is absent, as §4.2 asks. */
import { parseDictionary, parseList } from 'structured-headers';
import type { Dictionary, List } from 'structured-headers';
import { fieldValue } from './fields.ts';
import type { Fields } from './fields.ts';

/** The dictionary over all of the field's lines; null where it is absent, empty or malformed. */
export function dictionaryField(fields: Fields, name: string): Dictionary | null {
  const dictionary = parsed(fieldValue(fields, name), parseDictionary);
  return dictionary === null || dictionary.size === 0 ? null : dictionary;
}

/** The members of a list of strings; null where it is absent, malformed or holds anything else. */
export function stringListField(fields: Fields, name: string): string[] | null {
  const list: List | null = parsed(fieldValue(fields, name), parseList);
  if (list === null) return null;
  const strings = list.map(([member]) => member).filter((member) => typeof member === 'string');
  return strings.length === list.length ? strings : null;
}

function parsed<T>(text: string | undefined, parse: (text: string) => T): T | null {
  if (text === undefined) return null;
  try {
    return parse(text);
  } catch {
    // The library's only way to say that the text is malformed; any text may be.
    return null;
  }
}
