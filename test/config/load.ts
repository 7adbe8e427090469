import { z } from 'zod';
import type { Config } from '../../policies/config/config.ts';
import { formatDiagnostic } from '../../policies/config/diagnostic.ts';
import type { ConfigSource, LoadedConfig } from '../../policies/config/load.ts';
import { loadConfig } from '../../policies/config/load.ts';

/** Two types of feeds, as adapters would describe them. */
export const feedTypes = {
  sse: { readLag: '0s', schema: z.strictObject({ url: z.string(), replay: z.boolean().prefault(true) }) },
  postgres: { readLag: '1s', schema: z.strictObject({ slot: z.string() }) },
};

export function load(text: string, given: Partial<ConfigSource> = {}): LoadedConfig {
  const source = { file: 'weir.yaml', directory: '/etc/weir', env: {}, feedTypes };
  return loadConfig({ ...source, ...given, text });
}

/** The configuration of a valid text. */
export function configOf(text: string, given: Partial<ConfigSource> = {}): Config {
  const loaded = load(text, given);
  if (loaded.kind === 'invalid') throw new Error(loaded.errors.map(formatDiagnostic).join('\n'));
  return loaded.config;
}

/** Each error as it is printed, without the file name. */
export function errorsOf(text: string, given: Partial<ConfigSource> = {}): string[] {
  const loaded = load(text, given);
  return loaded.kind === 'ok'
    ? []
    : loaded.errors.map((error) => formatDiagnostic(error).slice('weir.yaml:'.length));
}

export function warningsOf(text: string): string[] {
  const loaded = load(text);
  return loaded.kind === 'invalid'
    ? ['invalid']
    : loaded.warnings.map((warning) => formatDiagnostic(warning).slice('weir.yaml:'.length));
}
