/** Reads the configuration file from the disk and hands its text to the loader. */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Environment } from '../../policies/config/environment.ts';
import { showPath, type Diagnostic } from '../../policies/config/diagnostic.ts';
import type { ConfigSource, LoadedAdmin, LoadedConfig } from '../../policies/config/load.ts';
import { loadAdminConfig, loadConfig } from '../../policies/config/load.ts';
import type { FeedTypes } from '../../policies/config/schema.ts';

export interface ConfigFile {
  /** The path as the user gave it, relative to the working directory; diagnostics repeat it. */
  readonly file: string;
  readonly env: Environment;
  readonly feedTypes: FeedTypes;
  /** If absent, packages are not checked. */
  readonly missingPackages?: (feedType: string) => readonly string[];
}

/** A file that can't be read is an invalid configuration like any other. */
export async function readConfigFile(source: ConfigFile): Promise<LoadedConfig> {
  const read = await readSource(source);
  return read.kind === 'invalid' ? read : loadConfig(read.source);
}

/** The admin section, for a command that only talks to a running Weir. */
export async function readAdminConfig(source: ConfigFile): Promise<LoadedAdmin> {
  const read = await readSource(source);
  return read.kind === 'invalid' ? read : loadAdminConfig(read.source);
}

type ReadSource =
  | { readonly kind: 'read'; readonly source: ConfigSource }
  | { readonly kind: 'invalid'; readonly errors: readonly Diagnostic[] };

async function readSource({ file, ...rest }: ConfigFile): Promise<ReadSource> {
  try {
    const text = await readFile(file, 'utf8');
    return { kind: 'read', source: { ...rest, text, file, directory: dirname(resolve(file)) } };
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    const message = `expected a file that can be read, got ${reason}`;
    return { kind: 'invalid', errors: [{ file, line: 1, column: 1, path: showPath([]), message }] };
  }
}
