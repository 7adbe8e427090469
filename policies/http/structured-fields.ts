/** RFC 9651: structured fields, parsed without throwing. A field that does not parse counts as absent (§4.2). */
import { DisplayString, parseDictionary, parseList } from 'structured-headers';
import type { Dictionary, List } from 'structured-headers';
import { textOfBytes } from '../names.ts';
import { fieldValue, hasField } from './fields.ts';
import type { Fields } from './fields.ts';

/** The dictionary over all lines of the field; null where it is absent, empty or malformed. */
export function dictionaryField(fields: Fields, name: string): Dictionary | null {
  if (!hasField(fields, name)) return null;
  const dictionary = parsed(fieldValue(fields, name), parseDictionary);
  return dictionary === null || dictionary.size === 0 ? null : dictionary;
}

/**
 * The members of a list of strings as text; null where it is absent, malformed or has members of another type.
 * Strings are ASCII (§3.3.3) and Display Strings are Unicode (§3.3.8); raw bytes beyond ASCII in a string are
 * accepted, too.
 */
export function stringListField(fields: Fields, name: string): string[] | null {
  const value = fieldValue(fields, name);
  if (value === undefined) return null;
  const isBare = BEYOND_ASCII.test(value);
  // The parser accepts no bytes beyond ASCII: they pass through it as escapes.
  const list: List | null = parsed(isBare ? value.replaceAll(ESCAPED, escapeOf) : value, parseList);
  if (list === null) return null;
  const strings = list.flatMap(([member]) => {
    if (member instanceof DisplayString) return [member.toString()];
    if (typeof member !== 'string') return [];
    return [isBare ? textOfBytes(member.replaceAll(/%([0-9a-f]{2})/g, byteOf)) : member];
  });
  return strings.length === list.length ? strings : null;
}

const BEYOND_ASCII = /[\u0080-\u00ff]/;
const ESCAPED = /[%\u0080-\u00ff]/g;

function escapeOf(character: string): string {
  return `%${character.charCodeAt(0).toString(16)}`;
}

function byteOf(_escape: string, digits: string): string {
  return String.fromCharCode(Number.parseInt(digits, 16));
}

function parsed<T>(text: string | undefined, parse: (text: string) => T): T | null {
  if (text === undefined) return null;
  try {
    return parse(text);
  } catch {
    // The library reports malformed text only by throwing.
    return null;
  }
}
