/** Each module of `proxy/` with the modules that it imports; a test also rejects an allowance that no file uses. */
export const MODULES: Readonly<Record<string, readonly string[]>> = {
  threads: [],
  state: [],
  observability: ['threads'],
  http: ['threads', 'observability'],
  origins: ['threads', 'observability'],
  fence: ['threads', 'state'],
  feeds: ['threads', 'state', 'observability', 'fence'],
  store: ['threads', 'state', 'fence'],
  fetch: ['threads', 'origins', 'fence', 'feeds', 'store'],
  writes: ['threads', 'state', 'observability', 'origins', 'fence'],
  request: ['threads', 'observability', 'http', 'origins', 'fence', 'feeds', 'store', 'fetch', 'writes'],
  admin: ['threads', 'observability', 'http', 'feeds', 'writes'],
  runtime: [
    'threads',
    'state',
    'observability',
    'http',
    'origins',
    'fence',
    'feeds',
    'store',
    'fetch',
    'writes',
    'request',
    'admin',
  ],
  cli: ['threads', 'observability', 'feeds', 'writes', 'admin', 'runtime'],
};

/** Files of `proxy/` itself that every module may import. They import no module. */
export const LEAVES: readonly string[] = ['mechanisms.ts', 'node-version.ts', 'version.ts'];

/** The library's face, which no module may import, with what it imports. */
export const FACE = { file: 'index.ts', modules: ['runtime', 'cli'] } as const;
