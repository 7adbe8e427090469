import { readFileSync } from 'node:fs';

/** The package's version, from the package.json above the sources or above `dist`. */
export function version(): string {
  for (const place of ['../package.json', '../../package.json']) {
    try {
      const { name, version: found } = JSON.parse(readFileSync(new URL(place, import.meta.url), 'utf8')) as {
        name: string;
        version: string;
      };
      if (name.endsWith('/weir')) return found;
    } catch {
      continue;
    }
  }
  return 'unknown';
}
