/** Which tests show what a module of `proxy/` does; further areas are the folders of `test/` themselves. */
const scenarios = (...names: readonly string[]): string[] =>
  names.map((name) => `test/scenarios/${name}.test.ts`);

/** Paths below the root: a folder with its `/`, or a file. */
export const AREAS: Readonly<Record<string, readonly string[]>> = {
  state: ['test/state/', ...scenarios('syncs', 'restart', 'restored-copy', 'failing-disk')],
  observability: ['test/observability/', ...scenarios('operations', 'numbers', 'counted-bounds')],
  http: ['test/http/', ...scenarios('http', 'upgrade', 'streaming', 'forwarding')],
  fence: [
    'test/fence/',
    'test/coherence/',
    ...scenarios('purge', 'tag-collisions', 'tag-names', 'restart', 'restored-copy', 'kill'),
  ],
  store: [
    'test/store/',
    ...scenarios('damaged-content', 'failing-disk', 'restart', 'restored-copy', 'variants', 'vary'),
  ],
  fetch: [
    'test/fetch/',
    'test/coherence/',
    'test/origins/',
    ...scenarios('attested', 'attested-reload', 'collapsing', 'condition-bounds', 'confirming', 'joining'),
    ...scenarios('learning', 'leaving', 'parts', 'stampede', 'storm', 'streaming', 'unwanted'),
    ...scenarios('origin-failures', 'origin-outage', 'nginx'),
  ],
  feeds: ['test/feeds/', 'test/contracts/', ...scenarios('feeds', 'positions', 'read-lag', 'attested')],
  writes: ['test/writes/', ...scenarios('abandoned-writes', 'held-writes', 'post-entry')],
  request: [
    'test/request/',
    'test/rfc9111/',
    'test/conformance/',
    ...scenarios('cache-path', 'conditions', 'downstream', 'http', 'parts', 'positions', 'told-stale'),
    ...scenarios('unkeyed', 'variants', 'vary'),
  ],
  admin: ['test/admin/', ...scenarios('operations', 'purge', 'tag-names')],
  runtime: [
    'test/runtime/',
    ...scenarios('start-stop', 'reload', 'reloads', 'reload-window', 'worker-death', 'turmoil'),
  ],
};
