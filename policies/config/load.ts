/**
 * Turns the text of the configuration file into the configuration, or into the list of all errors. The text and the
 * environment are arguments: nothing is read here.
 */
import type { AdminConfig, Config } from './config.ts';
import { compileAdmin, compileConfig } from './compile.ts';
import type { Diagnostic, Finding } from './diagnostic.ts';
import { showPath } from './diagnostic.ts';
import type { Places } from './document.ts';
import { readDocument } from './document.ts';
import type { Environment } from './environment.ts';
import { checkSemantics, type MissingPackages } from './semantic-checks.ts';
import { readSections } from './sections.ts';
import type { FeedTypes } from './schema.ts';

export interface ConfigSource {
  readonly text: string;
  /** The file's name in diagnostics. */
  readonly file: string;
  /** The absolute path of the file's directory. */
  readonly directory: string;
  readonly env: Environment;
  readonly feedTypes: FeedTypes;
  /** Absent: missing packages are not checked. */
  readonly missingPackages?: MissingPackages;
}

export type LoadedConfig =
  | { readonly kind: 'ok'; readonly config: Config; readonly warnings: readonly Diagnostic[] }
  | { readonly kind: 'invalid'; readonly errors: readonly Diagnostic[] };

export function loadConfig(source: ConfigSource): LoadedConfig {
  const document = readDocument(source.text, source.env);
  if (document.kind === 'malformed') {
    const { line, column } = document.place;
    const message = `expected YAML, got this: ${document.message}`;
    return { kind: 'invalid', errors: [{ file: source.file, line, column, path: showPath([]), message }] };
  }
  const { value, places } = document;
  const errors: Finding[] = [...document.findings];
  const sections = readSections(value, source.feedTypes, errors);
  const semantics = checkSemantics(sections, source.missingPackages ?? (() => []));
  errors.push(...semantics.errors);
  const config = errors.length === 0 ? compileConfig(sections, source.file, source.directory) : null;
  return config === null
    ? { kind: 'invalid', errors: placed(errors, places, source.file) }
    : { kind: 'ok', config, warnings: placed(semantics.warnings, places, source.file) };
}

export type LoadedAdmin =
  | { readonly kind: 'ok'; readonly admin: AdminConfig }
  | { readonly kind: 'invalid'; readonly errors: readonly Diagnostic[] };

/**
 * Loads the address of the admin side, for programs that only connect to it. Such a program may not have the secrets of the
 * other sections: outside of `admin`, a variable that is not set is no error.
 */
export function loadAdminConfig(source: ConfigSource): LoadedAdmin {
  const loaded = loadConfig(source);
  if (loaded.kind === 'ok') return { kind: 'ok', admin: loaded.config.admin };
  const document = readDocument(source.text, source.env);
  if (document.kind === 'malformed') return loaded;
  const unset = document.unset.map(showPath);
  const errors = loaded.errors.filter(
    ({ path }) =>
      isBelow(path, 'admin') || !unset.some((other) => isBelow(path, other) || isBelow(other, path)),
  );
  if (errors.length > 0) return { kind: 'invalid', errors };
  const { admin } = readSections(document.value, source.feedTypes, []);
  if (admin === null) return loaded;
  return { kind: 'ok', admin: compileAdmin(admin) };
}

function isBelow(path: string, above: string): boolean {
  return path === above || (path.startsWith(above) && /^[.[]/.test(path.slice(above.length)));
}

/** Sorts by place in the text and removes repetitions. */
function placed(findings: readonly Finding[], places: Places, file: string): Diagnostic[] {
  const diagnostics = findings.map(({ path, at, message }): Diagnostic => {
    const { line, column } = places.find(path, at);
    return { file, line, column, path: showPath(path), message };
  });
  const unique = new Map(diagnostics.map((diagnostic) => [JSON.stringify(diagnostic), diagnostic]));
  return [...unique.values()].toSorted((a, b) => a.line - b.line || a.column - b.column);
}
