/** Substitutes environment variables in a text: `${NAME}` and `${NAME:-default}`. */

export type Environment = Readonly<Record<string, string | undefined>>;

export type Substitution =
  | { readonly kind: 'ok'; readonly text: string }
  | {
      readonly kind: 'failed';
      readonly expected: string;
      readonly got: string;
      /** True: the variable is not set and the reference has no default. False: the reference is malformed. */
      readonly isUnset: boolean;
    };

/** As in a shell, the default also replaces a variable that is set to the empty text. Values are not substituted again. */
export function substitute(text: string, environment: Environment): Substitution {
  let failure: Substitution | null = null;
  const replaced = text.replace(REFERENCE, (reference: string, name?: string, fallback?: string) => {
    if (name === undefined) {
      const expected = '${NAME} or ${NAME:-default}';
      failure ??= { kind: 'failed', expected, got: JSON.stringify(reference), isUnset: false };
      return '';
    }
    const value = environment[name];
    if (fallback !== undefined) return value === undefined || value === '' ? fallback : value;
    if (value === undefined) {
      const expected = `the environment variable ${name} to be set, or a default as in \${${name}:-…}`;
      failure ??= { kind: 'failed', expected, got: 'neither', isUnset: true };
    }
    return value ?? '';
  });
  return failure ?? { kind: 'ok', text: replaced };
}

/** A reference. A match without groups is the beginning of a malformed reference. */
const REFERENCE = /\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|[^}]*\}?)/g;
