/**
 * RFC 9111 §5.2: the directives of Cache-Control. A malformed spelling never makes a response more cacheable than its
 * plain reading.
 */
import { fieldValues, remembered, singleValue, trimmed } from '../http/fields.ts';
import type { Fields } from '../http/fields.ts';
import { dictionaryField } from '../http/structured-fields.ts';

/** RFC 9111 §1.2.2: larger delta-seconds count as this. */
export const MAX_DELTA_SECONDS = 2_147_483_648;

export interface Directives {
  /** The directives by lower-case name, with one argument for each occurrence. */
  readonly arguments: ReadonlyMap<string, readonly DirectiveArgument[]>;
  /** The text has an unclosed quote, or semicolons in place of commas: restrictions still count, lifetimes do not. */
  readonly malformed: boolean;
}

export type DirectiveArgument =
  | { readonly kind: 'none' }
  | { readonly kind: 'token'; readonly text: string }
  | { readonly kind: 'quoted'; readonly text: string }
  | { readonly kind: 'broken' };

export const NO_DIRECTIVES: Directives = { arguments: new Map(), malformed: false };

/** The directives of all Cache-Control lines together. */
export function cacheControlOf(fields: Fields): Directives {
  const line = singleValue(fields, 'cache-control');
  if (line !== null) return directivesOfLine(line);
  const lines = fieldValues(fields, 'cache-control');
  return lines.length === 0 ? NO_DIRECTIVES : parseDirectives(lines);
}

const directivesOfLine = remembered((line) => parseDirectives([line]));

/**
 * The directives that govern a response: those of the first targeted field that is present and well-formed (RFC 9213
 * §2.2), which replace Cache-Control and Expires; otherwise those of Cache-Control.
 */
export function governingDirectives(
  fields: Fields,
  targetedFields: readonly string[],
): { readonly directives: Directives; readonly targeted: boolean } {
  for (const name of targetedFields) {
    const directives = targetedDirectives(fields, name);
    if (directives !== null) return { directives, targeted: true };
  }
  return { directives: cacheControlOf(fields), targeted: false };
}

export function parseDirectives(lines: readonly string[]): Directives {
  const scan: Scan = { found: new Map(), malformed: false };
  for (const line of lines) scanLine(line, scan);
  return { arguments: scan.found, malformed: scan.malformed };
}

export function hasDirective(directives: Directives, name: string): boolean {
  return directives.arguments.has(name);
}

/**
 * A directive's delta-seconds; null where it is absent, `invalid` where it has no usable value or several different
 * ones (RFC 9111 §4.2.1: the response is then considered stale).
 */
export function directiveSeconds(directives: Directives, name: string): number | 'invalid' | null {
  const given = directives.arguments.get(name);
  if (given === undefined) return null;
  if (directives.malformed) return 'invalid';
  let seconds: number | null = null;
  for (const argument of given) {
    const value =
      argument.kind === 'token' || argument.kind === 'quoted' ? parseDeltaSeconds(argument.text) : null;
    if (value === null || (seconds !== null && seconds !== value)) return 'invalid';
    seconds = value;
  }
  return seconds ?? 'invalid';
}

/**
 * The scope of `private` or `no-cache`: nothing, the whole response, or the named fields. Only a quoted list of
 * well-formed names is taken as the qualified form (§5.2.2.4, §5.2.2.7); any other value counts as the unqualified
 * directive.
 */
export function directiveScope(directives: Directives, name: string): DirectiveScope {
  const given = directives.arguments.get(name);
  if (given === undefined) return { kind: 'none' };
  const names: string[] = [];
  for (const argument of given) {
    const listed = argument.kind === 'quoted' ? fieldNames(argument.text) : null;
    if (listed === null || directives.malformed) return { kind: 'whole' };
    names.push(...listed);
  }
  return { kind: 'fields', names };
}

export type DirectiveScope =
  | { readonly kind: 'none' }
  | { readonly kind: 'whole' }
  | { readonly kind: 'fields'; readonly names: readonly string[] };

/** RFC 9111 §1.2.2: 1*DIGIT, at most `MAX_DELTA_SECONDS`; null for any other text. */
export function parseDeltaSeconds(text: string): number | null {
  return /^\d+$/.test(text) ? Math.min(Number(text), MAX_DELTA_SECONDS) : null;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

export function isToken(text: string): boolean {
  return TOKEN.test(text.toLowerCase());
}

function fieldNames(text: string): string[] | null {
  const names = text
    .split(',')
    .map((name) => trimmed(name).toLowerCase())
    .filter((name) => name !== '');
  return names.length > 0 && names.every((name) => TOKEN.test(name)) ? names : null;
}

interface Scan {
  readonly found: Map<string, DirectiveArgument[]>;
  malformed: boolean;
}

function scanLine(line: string, scan: Scan): void {
  let at = 0;
  while (at < line.length) {
    const nameEnd = endOf(line, at, /[=,;]/g);
    const name = line.slice(at, nameEnd);
    if (line[nameEnd] !== '=') {
      addNames(scan, name, { kind: 'none' });
      if (line[nameEnd] === ';') scan.malformed = true;
      at = nameEnd + 1;
      continue;
    }
    at = scanArgument(line, nameEnd + 1, name, scan);
  }
}

/** Returns where the next directive begins. */
function scanArgument(line: string, from: number, name: string, scan: Scan): number {
  const quoted = line[from] === '"' ? unquote(line, from) : null;
  if (line[from] === '"' && quoted === null) scan.malformed = true;
  const valueEnd = endOf(line, quoted === null ? from : quoted.end, /[,;]/g);
  if (line[valueEnd] === ';') scan.malformed = true;
  if (quoted === null) {
    const text = trimmed(line.slice(from, valueEnd));
    addNames(scan, name, line.startsWith(text, from) ? { kind: 'token', text } : { kind: 'broken' });
  } else {
    const clean = trimmed(line.slice(quoted.end, valueEnd)) === '';
    addNames(scan, name, clean ? { kind: 'quoted', text: quoted.text } : { kind: 'broken' });
  }
  return valueEnd + 1;
}

/** Adds each word as a directive without a usable value where commas are missing or white space precedes `=`. */
function addNames(scan: Scan, text: string, argument: DirectiveArgument): void {
  const words = text.split(/[ \t]+/).filter((word) => word !== '');
  const spaced = argument.kind !== 'none' && /[ \t]$/.test(text);
  for (const word of words) {
    const name = word.toLowerCase();
    const given = scan.found.get(name);
    const own: DirectiveArgument = words.length > 1 || spaced ? { kind: 'broken' } : argument;
    if (given === undefined) scan.found.set(name, [own]);
    else given.push(own);
  }
}

function unquote(line: string, from: number): { readonly text: string; readonly end: number } | null {
  let text = '';
  for (let at = from + 1; at < line.length; at++) {
    const c = line[at]!;
    if (c === '"') return { text, end: at + 1 };
    text += c === '\\' && at + 1 < line.length ? line[++at]! : c;
  }
  return null;
}

function endOf(line: string, from: number, stops: RegExp): number {
  stops.lastIndex = from;
  return stops.exec(line)?.index ?? line.length;
}

/**
 * RFC 9213 §2.1: a targeted field is a dictionary. Integers are delta-seconds and strings are lists of field names; a
 * value of another type is not usable. A field that is empty or malformed counts as absent.
 */
function targetedDirectives(fields: Fields, name: string): Directives | null {
  const dictionary = dictionaryField(fields, name);
  if (dictionary === null) return null;
  const found = new Map<string, DirectiveArgument[]>();
  for (const [directive, [value]] of dictionary) {
    if (value !== false) found.set(directive, [targetedArgument(value)]);
  }
  return { arguments: found, malformed: false };
}

function targetedArgument(value: unknown): DirectiveArgument {
  if (value === true) return { kind: 'none' };
  if (typeof value === 'number') return { kind: 'token', text: String(value) };
  // Here a string is a list of field names. A lifetime in a string has the wrong type.
  if (typeof value === 'string' && parseDeltaSeconds(value) === null) return { kind: 'quoted', text: value };
  return { kind: 'broken' };
}
