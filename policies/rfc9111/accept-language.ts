/**
 * RFC 9111 §4.1 and RFC 9110 §12.5.4: whether a stored variant is in the language that a client prefers most. The
 * origin has that language and would select it.
 */
import { listMembers, trimmed } from '../http/fields.ts';
import type { StoredMeta } from '../model.ts';
import { weighted } from './accept-encoding.ts';

/** Only an exact match of a single language. Ranges and prefixes are left to the origin. */
export function isInLanguage(meta: StoredMeta, language: string | null): boolean {
  if (language === null) return false;
  const languages = listMembers(meta.fields, 'content-language');
  return languages.length === 1 && languages[0]!.toLowerCase() === language;
}

/**
 * The language that alone has the highest weight, in lower case; null where there is none or the weight is shared.
 */
export function mostWantedLanguage(value: string): string | null {
  const wanted = value
    .split(',')
    .map((member) => weighted(trimmed(member).toLowerCase()))
    .filter(({ text }) => text !== '')
    .toSorted((a, b) => b.weight - a.weight);
  const [most, next] = wanted;
  return most === undefined || most.weight === 0 || most.weight === next?.weight ? null : most.text;
}
