/** Reads the configuration file from the disk and hands its text to the loader. */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Environment } from '../../policies/config/environment.ts';
import { showPath } from '../../policies/config/diagnostic.ts';
import type { LoadedConfig, NotYet } from '../../policies/config/load.ts';
import { loadConfig } from '../../policies/config/load.ts';
import type { FeedSchemas } from '../../policies/config/schema.ts';

export interface ConfigFile {
  /** As the user named it, from the working directory; diagnostics name it so. */
  readonly file: string;
  readonly env: Environment;
  readonly feedSchemas: FeedSchemas;
  readonly notYet: readonly NotYet[];
}

/** A file that can't be read is an invalid configuration like any other. */
export async function readConfigFile({ file, env, feedSchemas, notYet }: ConfigFile): Promise<LoadedConfig> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    const message = `expected a file that can be read, got ${reason}`;
    return { kind: 'invalid', errors: [{ file, line: 1, column: 1, path: showPath([]), message }] };
  }
  return loadConfig({ text, file, directory: dirname(resolve(file)), env, feedSchemas, notYet });
}
