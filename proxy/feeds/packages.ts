import { createRequire } from 'node:module';
import { FEED_TYPES } from '../../origin-adapters/feeds/registry.ts';

const { resolve } = createRequire(import.meta.url);

/** The missing client packages of a feed type. None is loaded. */
export function missingPackages(feedType: string): readonly string[] {
  const adapter = Object.values(FEED_TYPES).find(({ type }) => type === feedType);
  return adapter?.packages.filter((name) => !isInstalled(name)) ?? [];
}

/** A package with only ES modules can't be required, but the error differs from that of a missing one. */
export function isInstalled(name: string): boolean {
  try {
    resolve(name);
    return true;
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND');
  }
}
