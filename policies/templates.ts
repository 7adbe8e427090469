import { decodedEscapes } from './names.ts';

/**
 * Texts with `{name}` placeholders from which tags, URLs and prefixes are made. The values are a route's parameters
 * or come from a feed's change.
 */

export interface Template {
  /** Each name once, in order of first use. */
  readonly names: readonly string[];
  /**
   * Expands the template with every combination of the values that `lookup` returns. A name used twice has the same
   * value in both places. A name without a value, or with an empty list, is missing.
   */
  expand(lookup: (name: string) => readonly string[] | undefined): Expansion;
}

export type Expansion =
  | { readonly kind: 'ok'; readonly values: readonly string[] }
  | { readonly kind: 'missing'; readonly name: string }
  /** More than `MAX_COMBINATIONS`. */
  | { readonly kind: 'too-many'; readonly combinations: number };

/** The maximum of values that one template can make of one change. */
export const MAX_COMBINATIONS = 10_000;

/** The form that a template should have; null: it has it. */
export function templateProblem(text: string): string | null {
  const outside = text.replace(PLACEHOLDER, '');
  return /[{}]/.test(outside) ? 'a template with each {name} closed and not empty' : null;
}

/** Throws a TypeError on a text that `templateProblem` rejects. */
export function compileTemplate(text: string): Template {
  const problem = templateProblem(text);
  if (problem !== null) throw new TypeError(`expected ${problem}, got ${JSON.stringify(text)}`);
  // Splitting at a capturing group puts literal texts at even indices and names at odd ones.
  const parts = text.split(PLACEHOLDER);
  const names = [...new Set(parts.filter((_, i) => i % 2 === 1))];
  return { names, expand: (lookup) => expand(parts, names, lookup) };
}

/**
 * Looks up a route's parameters for tags, percent-decoded: `product:{id}` makes the same tag of a URL as of a change
 * that names the id.
 */
export function parametersForTags(parameters: Readonly<Record<string, string>>) {
  return (name: string): readonly string[] | undefined => {
    const value = parameters[name];
    return value === undefined ? undefined : [decodedEscapes(value)];
  };
}

/** Looks up a route's parameters for URLs and prefixes, as in the normalised path. */
export function parametersForUrls(parameters: Readonly<Record<string, string>>) {
  return (name: string): readonly string[] | undefined => {
    const value = parameters[name];
    return value === undefined ? undefined : [value];
  };
}

/**
 * Encodes a change's value for a URL: characters that a URL can't contain are percent-encoded. Slashes, question
 * marks and percent signs stay, so that a change may carry a whole path or URL.
 */
export function encodeForUrl(value: string): string {
  return value.toWellFormed().replace(/[^\w!#$%&'()*+,\-./:;=?@[\]~]+/gu, encodeURIComponent);
}

const PLACEHOLDER = /\{([^{}]+)\}/g;

function expand(
  parts: readonly string[],
  names: readonly string[],
  lookup: (name: string) => readonly string[] | undefined,
): Expansion {
  let combinations = 1;
  let bindings: ReadonlyMap<string, string>[] = [new Map()];
  for (const name of names) {
    const values = lookup(name);
    if (values === undefined || values.length === 0) return { kind: 'missing', name };
    combinations *= values.length;
    if (combinations > MAX_COMBINATIONS) return { kind: 'too-many', combinations };
    bindings = bindings.flatMap((binding) => values.map((value) => new Map([...binding, [name, value]])));
  }
  const texts = bindings.map((binding) => fill(parts, binding));
  return { kind: 'ok', values: texts.length > 1 ? [...new Set(texts)] : texts };
}

function fill(parts: readonly string[], binding: ReadonlyMap<string, string>): string {
  return parts.map((part, i) => (i % 2 === 1 ? binding.get(part)! : part)).join('');
}
