import { createRequire } from 'node:module';
import { FEED_TYPES } from '../../origin-adapters/feeds/registry.ts';

const { resolve } = createRequire(import.meta.url);

/** The client packages that a feed of this type needs and that are not installed. Loads none of them. */
export function missingPackages(feedType: string): readonly string[] {
  const adapter = Object.values(FEED_TYPES).find(({ type }) => type === feedType);
  return adapter?.packages.filter((name) => !isInstalled(name)) ?? [];
}

/** A package of ES modules alone can't be required, and is there. */
export function isInstalled(name: string): boolean {
  try {
    resolve(name);
    return true;
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND');
  }
}
