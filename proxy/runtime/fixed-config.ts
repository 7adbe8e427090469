import type { Config } from '../../policies/config/config.ts';

/** Feeds with a `demo:` address in a configuration without a `demo:` origin. */
export function strayDemoFeeds(config: Config): string[] {
  if (Object.values(config.origins).some(({ urls }) => urls.includes('demo:'))) return [];
  return Object.values(config.feeds)
    .filter(({ options }) => String(options['url']).startsWith('demo:'))
    .map(({ name }) => `feeds.${name}.url is the address of the built-in shop, and no origin is that shop`);
}

/** Names the differences in settings that workers and files take only at a start. */
export function fixedDifferences(before: Config, after: Config): string[] {
  const fixed: [string, (config: Config) => unknown][] = [
    ['listen.host', (config) => config.listen.host],
    ['listen.port', (config) => config.listen.port],
    ['listen.workers', (config) => config.listen.workers],
    ['listen.underscores', (config) => config.listen.underscores],
    ['listen.limits', (config) => config.listen.limits],
    ['listen.tls', (config) => config.listen.tls],
    ['admin', (config) => config.admin],
    ['log', (config) => config.log],
    ['cache', (config) => config.cache],
    ['fence', (config) => config.fence],
    ['flights', (config) => config.flights],
  ];
  return fixed
    .filter(([, value]) => JSON.stringify(value(before)) !== JSON.stringify(value(after)))
    .map(([key]) => `${key} can't change while Weir runs: restart Weir`);
}
