/** Errors and warnings with their place in the configuration file, and their texts. */

/** Keys and list indices, from the root. */
export type Path = readonly (string | number)[];

export interface Diagnostic {
  /** The file's name, as the loader was given it. */
  readonly file: string;
  /** Line and column count from 1. */
  readonly line: number;
  readonly column: number;
  /** For example `routes[0].cache.ttl`; `(document)` stands for the whole file. */
  readonly path: string;
  /** `expected …, got …` */
  readonly message: string;
}

/** The part that the diagnostic points at: a key, its value, or the second occurrence of a repeated key. */
export type PathPart = 'key' | 'value' | 'repeated-key';

/** A diagnostic whose place in the text is not known yet. */
export interface Finding {
  readonly path: Path;
  readonly at: PathPart;
  readonly message: string;
}

/** `file:line:column path: expected …, got …` */
export function formatDiagnostic({ file, line, column, path, message }: Diagnostic): string {
  return `${file}:${line}:${column} ${path}: ${message}`;
}

export function finding(path: Path, expected: string, got: string, at: PathPart = 'value'): Finding {
  return { path, at, message: `expected ${expected}, got ${got}` };
}

export function showPath(path: Path): string {
  if (path.length === 0) return '(document)';
  const steps = path.map((step, i) => {
    if (typeof step === 'number') return `[${step}]`;
    return i === 0 ? showKey(step) : `.${showKey(step)}`;
  });
  return steps.join('');
}

/** The key in quotes, unless it is a plain word. */
export function showKey(key: string): string {
  return /^[\w-]+$/.test(key) ? key : JSON.stringify(key);
}

/** Returns the value at a path in plain data; undefined if there is none. */
export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (inner, step) => (typeof inner === 'object' && inner !== null ? Reflect.get(inner, step) : undefined),
    value,
  );
}

/** Describes a value in a few words. A value that may be secret, by its key or by its place in a URL, is not shown. */
export function describeValue(value: unknown, path: Path): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return Object.keys(value).length === 0 ? 'an empty map' : 'a map';
  if (path.some((step) => /token|secret|password/i.test(String(step)))) return 'something else';
  if (typeof value !== 'string') return String(value);
  const shown = value.replace(/\/\/[^/@]*@/, '//…@');
  return JSON.stringify(shown.length > SHOWN_LENGTH ? `${shown.slice(0, SHOWN_LENGTH)}…` : shown);
}

/** `one of a, b (did you mean a?)`: the valid names, and the one that was probably meant. */
export function oneOf(names: readonly string[], written: string): string {
  const near = nearest(written, names);
  const hint = near === null ? '' : ` (did you mean ${near}?)`;
  return `one of ${names.join(', ')}${hint}`;
}

const SHOWN_LENGTH = 60;

/** Returns the name with the smallest edit distance, if it is small enough for a typing error. */
function nearest(written: string, names: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Math.min(written.length, Math.max(2, Math.floor(written.length / 3)) + 1);
  for (const name of names) {
    const distance = editDistance(written.toLowerCase(), name.toLowerCase());
    if (distance < bestDistance) {
      best = name;
      bestDistance = distance;
    }
  }
  return best;
}

/** The Levenshtein distance, computed row by row. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
