/** Puts environment variables into a text: `${NAME}` and `${NAME:-default}`. */

export type Environment = Readonly<Record<string, string | undefined>>;

export type Substitution =
  | { readonly kind: 'ok'; readonly text: string }
  | {
      readonly kind: 'failed';
      readonly expected: string;
      readonly got: string;
      /** There is no variable of that name, and no default; false: the reference is not one. */
      readonly isUnset: boolean;
    };

/**
 * As in a shell, `:-` also stands in for a variable that is set to nothing. What a variable holds is not looked into
 * again.
 */
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

/** A reference; or, without its groups, the beginning of what was meant to be one. */
const REFERENCE = /\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|[^}]*\}?)/g;
