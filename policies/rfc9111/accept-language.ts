/**
 * Whether a stored variant's language is the one that a client wants most: the origin has it, and would choose it
 * (RFC 9110 §12.5.4, RFC 9111 §4.1).
 */
import { listMembers } from '../http/fields.ts';
import type { StoredMeta } from '../model.ts';
import { weighted } from './accept-encoding.ts';

/** Only where one language alone has the highest weight and is just the variant's: ranges and prefixes are the origin's to weigh. */
export function wantsLanguageOf(meta: StoredMeta, value: string): boolean {
  const languages = listMembers(meta.fields, 'content-language');
  if (languages.length !== 1) return false;
  const wanted = value
    .split(',')
    .map((member) => weighted(member.trim().toLowerCase()))
    .filter(({ text }) => text !== '')
    .toSorted((a, b) => b.weight - a.weight);
  const [most, next] = wanted;
  if (most === undefined || most.weight === 0 || most.weight === next?.weight) return false;
  return most.text === languages[0]!.toLowerCase();
}
