import { describe, expect, it } from 'vitest';
import { CONTRACT } from './contract.ts';
import { configOf, errorsOf } from './load.ts';

const ORIGIN = 'origins: { shop: { url: "http://shop:3000" } }\n';

const BARE = `
origins: { shop: { url: "demo:" } }
feeds:
  shop-changes:
    type: sse
    url: "demo:/changes"
    map:
      - when: { table: products }
        invalidate: { tags: ["product:{id}", products], urls: ["/products/{id}"], prefixes: [/search] }
routes:
  - name: product
    match: /products/{id}
`;

describe('defaults', () => {
  it('are those of the contract', () => {
    expect(configOf(CONTRACT)).toEqual(configOf(BARE));
  });

  it('are given in bytes, milliseconds and absolute paths', () => {
    const config = configOf(CONTRACT);
    expect(config).toMatchObject({
      file: '/etc/weir/weir.yaml',
      listen: {
        port: 8080,
        limits: {
          urlBytes: 8192,
          bodyBytes: 104_857_600,
          requestMs: 60_000,
          bodyBytesPerSecond: 1_024,
          bodyGraceMs: 10_000,
          totalMs: null,
          idleMs: 75_000,
          tunnelMs: 3_600_000,
        },
        stopTimeoutMs: 30_000,
        stopStreamsMs: 1_000,
        tls: null,
      },
      admin: { host: '127.0.0.1', port: 8081, token: '' },
      cache: {
        memoryBytes: 268_435_456,
        disk: { path: '/etc/weir/.weir', sizeBytes: 10_737_418_240, queueBytes: 67_108_864 },
        maxObjectBytes: 1_073_741_824,
        heaps: 'fast',
      },
      flights: { windowBytes: 1_048_576, waiters: 10_000, waiting: 50_000, background: 32 },
    });
    expect(config.origins['shop']).toEqual({
      name: 'shop',
      urls: ['demo:'],
      hostHeader: 'origin',
      connections: 128,
      queue: { size: 1024, timeoutMs: 5000 },
      timeouts: { connectMs: 2000, headersMs: 30_000, bodyMs: 60_000 },
      abandonedMs: 5_000,
      retry: 1,
      maxProcessingMs: 60_000,
      breaker: null,
      health: null,
      tls: null,
      demo: { delayMs: 0 },
    });
    expect(config.feeds['shop-changes']).toMatchObject({ options: { url: 'demo:/changes', replay: true } });
    expect(config.routes[0]).toMatchObject({
      cache: { ttlMs: null, maxTtlMs: 86_400_000, negativeTtlMs: 10_000, maxTags: 256, feed: null },
      write: { maxBodyBytes: 1_048_576, retry: { baseMs: 200, maxMs: 60_000, attempts: 20, statuses: null } },
    });
  });

  it('complete breaker, health and tls where they are present', () => {
    const { shop } = configOf(
      'origins: { shop: { url: "https://shop", breaker: {}, health: {}, tls: { ca: ca.pem } } }',
    ).origins;
    expect(shop).toMatchObject({
      breaker: { failures: 5, openMs: 10_000 },
      health: { path: '/healthz', intervalMs: 5000 },
      tls: { caFile: '/etc/weir/ca.pem', serverName: null },
    });
  });

  it('give a read lag of a second to postgres feeds', () => {
    const { feeds } = configOf(`${ORIGIN}feeds: { db: { type: postgres, slot: weir } }`);
    expect(feeds['db']).toMatchObject({ readLagMs: 1000, options: { slot: 'weir' } });
  });
});

describe('sizes and durations', () => {
  it.each([
    ['0', 0],
    ['1B', 1],
    ['1.5KiB', 1536],
    ['2MiB', 2_097_152],
    ['1GiB', 1_073_741_824],
  ])('read %s as %d bytes', (written, bytes) => {
    expect(configOf(`${ORIGIN}cache: { memory: ${written} }`).cache.memoryBytes).toBe(bytes);
  });

  it.each([
    ['{ memory: 32MiB }', 8, 'small'],
    ['{ memory: 64MiB }', 16, 'small'],
    ['{ memory: 100MiB }', 25, 'fast'],
    ['{ memory: 8GiB }', 64, 'fast'],
    ['{ memory: 8GiB, heaps: small, disk: { queue: 12MiB } }', 12, 'small'],
    ['{ memory: 0, heaps: fast }', 8, 'fast'],
  ])('determine other sizes from that of the cache, unless they are set: %s', (cache, queueMiB, heaps) => {
    const config = configOf(`${ORIGIN}cache: ${cache}`).cache;
    expect({ queue: config.disk.queueBytes, heaps: config.heaps }).toEqual({
      queue: queueMiB * 2 ** 20,
      heaps,
    });
  });

  it.each([
    ['0', 0],
    ['250ms', 250],
    ['1.5s', 1500],
    ['2m', 120_000],
    ['1h', 3_600_000],
    ['365d', 31_536_000_000],
  ])('read %s as %d milliseconds', (written, milliseconds) => {
    const config = configOf(`${ORIGIN}defaults: { cache: { max-ttl: ${written} } }`);
    expect(config.routes[0]?.cache.maxTtlMs).toBe(milliseconds);
  });

  it.each(['5', '5KB', '5 MiB', '-1B', '5mib', 'all', '9007199254740992B', 'true'])(
    'reject %s as a size',
    (written) => {
      expect(errorsOf(`${ORIGIN}cache: { memory: ${written} }`)).toEqual([
        expect.stringMatching(
          /^2:18 cache\.memory: expected a size such as 64MiB \(B, KiB, MiB, GiB\), got /,
        ),
      ]);
    },
  );

  it.each(['0', '25d', '5', '1w'])('reject %s for a timer', (written) => {
    expect(errorsOf(`${ORIGIN}listen: { stop-timeout: ${written} }`)).toEqual([
      expect.stringMatching(/^2:25 listen\.stop-timeout: expected a duration .* from 1ms to 24d, got /),
    ]);
  });
});

describe('environment variables', () => {
  const env = {
    PORT: '9000',
    EMPTY: '',
    TOKEN: '007',
    HOST: 'shop',
    YES: 'true',
    COMMENT: '5 # five',
    LIST: '[1]',
  };

  it.each([
    ['listen: { port: 80 }\nadmin: { token: "${TOKEN}" }', { admin: { token: '007' } }],
    ['listen:\n  port: ${PORT}', { listen: { port: 9000 } }],
    ['listen:\n  port: ${NOPE:-81}', { listen: { port: 81 } }],
    ['listen:\n  port: ${EMPTY:-82}', { listen: { port: 82 } }],
    ['log:\n  access: ${YES}', { log: { access: true } }],
    ['admin:\n  token: ${EMPTY}', { admin: { token: '' } }],
    ['admin:\n  token: ${COMMENT}', { admin: { token: '5 # five' } }],
    ['admin:\n  token: ${LIST}', { admin: { token: '[1]' } }],
    ['admin:\n  token: a-${TOKEN}-${HOST}', { admin: { token: 'a-007-shop' } }],
    ['admin:\n  token: "${NOPE:-http://{x}"', { admin: { token: 'http://{x' } }],
  ])('are replaced in %j', (text, expected) => {
    expect(configOf(ORIGIN + text, { env })).toMatchObject(expected);
  });

  it('do not change the type of a quoted value', () => {
    expect(errorsOf(`${ORIGIN}listen: { port: "\${PORT}" }`, { env })).toEqual([
      '2:17 listen.port: expected a whole number from 0 to 65535, got "9000"',
    ]);
  });

  it('are not replaced within the value of a variable', () => {
    const config = configOf(`${ORIGIN}admin: { token: "\${A}" }`, { env: { A: '${B}' } });
    expect(config.admin.token).toBe('${B}');
  });

  it('that are not set are errors at their place', () => {
    expect(errorsOf(`${ORIGIN}listen:\n  port: \${PORT}\n  host: "\${1x"`)).toEqual([
      '3:9 listen.port: expected the environment variable PORT to be set, or a default as in ${PORT:-…}, got neither',
      '4:9 listen.host: expected ${NAME} or ${NAME:-default}, got "${1x"',
    ]);
  });
});

describe('paths', () => {
  it('are relative to the directory of the file', () => {
    const config = configOf(
      `origins: { shop: { url: "https://shop", tls: { ca: ../ca.pem } } }
listen: { tls: { cert: tls/cert.pem, key: /run/key.pem } }
cache: { disk: { path: data } }`,
    );
    expect(config.listen.tls).toEqual({ certFile: '/etc/weir/tls/cert.pem', keyFile: '/run/key.pem' });
    expect(config.cache.disk.path).toBe('/etc/weir/data');
    expect(config.origins['shop']?.tls?.caFile).toBe('/etc/ca.pem');
  });
});

describe('keys without a value', () => {
  it('count as absent', () => {
    const config = configOf(
      `${ORIGIN}cache:\n  # memory: 1MiB\nroutes:\n  - match: /*\n    cache:\n    origin:\n`,
    );
    expect(config).toEqual(configOf(`${ORIGIN}routes: [{ match: /* }]`));
  });

  it('are values to compare with in a condition', () => {
    const { feeds } = configOf(
      `${ORIGIN}feeds: { f: { type: sse, url: u, map: [{ when: { deleted: null }, invalidate: { tags: [a] } }] } }`,
    );
    expect(feeds['f']?.map[0]?.when).toEqual({ deleted: null });
  });
});

describe('anchors', () => {
  it('repeat the node that they name', () => {
    const config = configOf(
      `${ORIGIN}routes: [{ match: /a, cache: &c { tags: [x] } }, { match: /*, cache: *c }]`,
    );
    expect(config.routes.map(({ cache }) => cache.tags)).toEqual([['x'], ['x']]);
  });
});

describe('names of fields, hosts and methods', () => {
  it('are normalised to the case in which they are compared', () => {
    const [route] = configOf(
      `${ORIGIN}feeds: { changes: { type: sse, url: http://x } }
routes:
  - match: { path: /a, host: Shop.Example:80, methods: [get, POST] }
    cache: { key: { headers: [X-Shop], cookies: [Lang] }, feed: changes, version-header: X-Version, targeted-fields: [My-Control] }`,
    ).routes;
    expect(route?.match).toEqual({ path: '/a', host: 'shop.example:80', methods: ['GET', 'POST'] });
    expect(route?.cache).toMatchObject({
      key: { headers: ['x-shop'], cookies: ['Lang'] },
      versionHeader: 'x-version',
      targetedFields: ['my-control'],
    });
  });
});
