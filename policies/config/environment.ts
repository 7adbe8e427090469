/** Puts environment variables into a text: `${NAME}` and `${NAME:-default}`. */

export type Environment = Readonly<Record<string, string | undefined>>;

export type Substitution =
  | { readonly kind: 'ok'; readonly text: string }
  | { readonly kind: 'failed'; readonly expected: string; readonly got: string };

/**
 * As in a shell, `:-` also stands in for a variable that is set to nothing. What a variable holds is not looked into
 * again.
 */
export function substitute(text: string, environment: Environment): Substitution {
  let failure: Substitution | null = null;
  const replaced = text.replace(REFERENCE, (reference: string, name?: string, fallback?: string) => {
    if (name === undefined) {
      failure ??= { kind: 'failed', expected: '${NAME} or ${NAME:-default}', got: JSON.stringify(reference) };
      return '';
    }
    const value = environment[name];
    if (fallback !== undefined) return value === undefined || value === '' ? fallback : value;
    if (value === undefined) {
      const expected = `the environment variable ${name} to be set, or a default as in \${${name}:-…}`;
      failure ??= { kind: 'failed', expected, got: 'neither' };
    }
    return value ?? '';
  });
  return failure ?? { kind: 'ok', text: replaced };
}

/** A reference; or, without its groups, the beginning of what was meant to be one. */
const REFERENCE = /\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|[^}]*\}?)/g;
