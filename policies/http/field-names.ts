/**
 * How names of request fields are compared. CGI and its successors (FastCGI, WSGI, Rack, PHP) pass a field as a
 * variable in whose name every character but letters and digits is `_` (RFC 3875 §4.1.18). For such an origin
 * `X_Tenant` and `X.Tenant` are `X-Tenant`.
 */
import { fieldValue, lowerName, remembered, type Fields } from './fields.ts';

/** Key `listen.underscores`. */
export type UnderscoreRule = 'drop' | 'keep';

/** The form in which names are compared: lower case, with a hyphen for every character but letters and digits. */
export const nameForm = remembered((name) => lowerName(name).replaceAll(/[^0-9a-z-]/g, '-'));

/**
 * The fields that a request is considered to have. `drop` removes names with characters other than letters, digits
 * and hyphens: an origin may read such a name as that of a field which the key, Vary or a rule compares in another
 * spelling.
 */
export function decideFieldNames(
  fields: Fields,
  rule: UnderscoreRule,
): { readonly fields: Fields; readonly dropped: number } {
  if (rule === 'keep') return { fields, dropped: 0 };
  let i = 0;
  while (i < fields.length && UNAMBIGUOUS.test(fields[i]!)) i += 2;
  if (i >= fields.length) return { fields, dropped: 0 };
  const kept = fields.slice(0, i);
  for (; i < fields.length; i += 2) if (UNAMBIGUOUS.test(fields[i]!)) kept.push(fields[i]!, fields[i + 1]!);
  return { fields: kept, dropped: (fields.length - kept.length) / 2 };
}

/** Whether `drop` removes fields of this name. */
export function isDroppedName(name: string): boolean {
  return !UNAMBIGUOUS.test(name);
}

/** Whether an origin may read one of the fields under this name (in lower case). */
export function hasFieldLike(fields: Fields, name: string): boolean {
  const form = nameForm(name);
  for (let i = 0; i < fields.length; i += 2) if (nameForm(fields[i]!) === form) return true;
  return false;
}

/**
 * The value of a request field as the key and Vary compare it; undefined where no field can be read under this name
 * (in lower case). Other spellings of the name are part of the value, because origins differ in which of them they
 * read.
 */
export function comparedValue(fields: Fields, name: string): string | undefined {
  let form: string | null = null;
  for (let i = 0; i < fields.length; i += 2) {
    const other = fields[i]!;
    if (other.length !== name.length || UNAMBIGUOUS.test(other)) continue;
    form ??= nameForm(name);
    if (nameForm(other) === form && other.toLowerCase() !== name) return spelledValue(fields, form);
  }
  return fieldValue(fields, name);
}

/** The fields without those whose name's form (`nameForm`) satisfies `isLeftOut`. */
export function withoutFieldsLike(fields: Fields, isLeftOut: (form: string) => boolean): string[] {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    if (!isLeftOut(nameForm(fields[i]!))) kept.push(fields[i]!, fields[i + 1]!);
  }
  return kept;
}

const UNAMBIGUOUS = /^[0-9A-Za-z-]*$/;

function spelledValue(fields: Fields, form: string): string {
  const lines: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    if (nameForm(fields[i]!) === form) lines.push(`${fields[i]}:${fields[i + 1]}`);
  }
  return lines.join(', ');
}
