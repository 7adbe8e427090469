/**
 * RFC 9110 §5: header fields as on the wire, a flat list of names and values in turn, in order, repeated fields
 * separate.
 */
export type Fields = readonly string[];

/** The fields by which a client authenticates, in lower case (RFC 9110 §11.6.2, RFC 6265 §5.4). */
export const CREDENTIALS: readonly string[] = ['authorization', 'cookie'];

/** The fields that set cookies, in lower case. They concern only the client whose request they answer. */
export const COOKIES: ReadonlySet<string> = new Set(['set-cookie', 'set-cookie2']);

/** The values of one field in order, as sent. `name` is in lower case. */
export function fieldValues(fields: Fields, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (isNamed(fields[i]!, name)) values.push(fields[i + 1]!);
  }
  return values;
}

/** RFC 9110 §5.3: one field's lines joined with a comma; undefined where it is absent. */
export function fieldValue(fields: Fields, name: string): string | undefined {
  let combined: string | undefined;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (!isNamed(fields[i]!, name)) continue;
    combined = combined === undefined ? fields[i + 1]! : `${combined}, ${fields[i + 1]!}`;
  }
  return combined;
}

/** The value of a field that is there once, as sent; null where it is absent or repeated. */
export function singleValue(fields: Fields, name: string): string | null {
  let value: string | null = null;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (!isNamed(fields[i]!, name)) continue;
    if (value !== null) return null;
    value = fields[i + 1]!;
  }
  return value;
}

export function hasField(fields: Fields, name: string): boolean {
  for (let i = 0; i + 1 < fields.length; i += 2) if (isNamed(fields[i]!, name)) return true;
  return false;
}

/** The fields without those whose lower-case name is in `names`. */
export function withoutFields(fields: Fields, names: ReadonlySet<string>): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (!names.has(lowerName(fields[i]!))) kept.push(fields[i]!, fields[i + 1]!);
  }
  return kept;
}

/** A field's name in lower case. */
export const lowerName = remembered((name) => name.toLowerCase());

/**
 * `compute` with a memory of its latest results, for what depends on one short text of a message alone: peers send few
 * different names and directives, again and again. Results for long texts are computed anew each time.
 */
export function remembered<Result>(compute: (text: string) => Result): (text: string) => Result {
  const known = new Map<string, Result>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found;
    const result = compute(text);
    if (text.length > REMEMBERED_LENGTH) return result;
    if (known.size >= REMEMBERED_TEXTS) known.clear();
    // A copy: the text may be a part of a longer one that would stay in memory with it.
    const copy = Buffer.from(text).toString();
    if (copy === text) known.set(copy, result);
    return result;
  };
}

const REMEMBERED_TEXTS = 512;
const REMEMBERED_LENGTH = 128;

/** RFC 9110 §5.6.1: the members of a list field over all its lines, trimmed, without empty ones. */
export function listMembers(fields: Fields, name: string): string[] {
  return fieldValues(fields, name)
    .flatMap((value) => value.split(','))
    .map(trimmed)
    .filter((member) => member !== '');
}

/**
 * RFC 9110 §5.6.3: without the white space allowed around values. Other white space may be part of a character's
 * bytes.
 */
export function trimmed(value: string): string {
  let from = 0;
  let to = value.length;
  while (from < to && isSpace(value.charCodeAt(from))) from += 1;
  while (to > from && isSpace(value.charCodeAt(to - 1))) to -= 1;
  return value.slice(from, to);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** Whether it is that name, which is given in lower case. */
export function isNamed(actual: string, lowerName: string): boolean {
  return actual === lowerName || (actual.length === lowerName.length && actual.toLowerCase() === lowerName);
}
