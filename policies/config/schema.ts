/** The schema of the configuration file as it is written. `route-schema.ts` has the schema of a route. */
import { z } from 'zod';
import { invalidationSchema, routeCacheSchema, routeSchema, routeWriteSchema } from './route-schema.ts';
import { size, timeout } from './units.ts';
import { absolutePath, addressBlock, count, originUrl, port, text } from './value-schemas.ts';

/** The part of a feed type that the configuration uses. Its adapter defines it. */
export interface FeedType {
  /** The type's own keys, in addition to those of every feed. */
  readonly schema: z.ZodObject;
  /** The default of `read-lag`, as written in the file. */
  readonly readLag: string;
}

/** Feed types by the value of `type`. */
export type FeedTypes = Readonly<Record<string, FeedType>>;

const limitsSchema = z.strictObject({
  url: size({ least: 16 }).prefault('8KiB').describe('The longest request target; beyond it 414.'),
  headers: size({ least: 256 })
    .prefault('32KiB')
    .describe('The size of all header fields of a request; beyond it 431.'),
  'header-count': count({ least: 1, most: 10_000 })
    .prefault(100)
    .describe('The number of header fields of a request; beyond it 431.'),
  body: size().prefault('100MiB').describe('The largest content of a request; beyond it 413.'),
  request: timeout()
    .prefault('60s')
    .describe(
      'The time until the head of a request is complete, and the longest pause in its content; then 408.',
    ),
  'body-rate': size()
    .prefault('1KiB')
    .describe('The least content per second, measured over body-grace; below it 408. 0: any byte will do.'),
  'body-grace': timeout()
    .prefault('10s')
    .describe(
      'The time over which body-rate is measured; at most as long as request. Time in which Weir itself holds content back does not count.',
    ),
  total: timeout()
    .optional()
    .describe('The time until the whole request is complete, however fast it arrives; then 408.'),
  idle: timeout().prefault('75s').describe('The time between two requests of one connection.'),
  tunnel: timeout().prefault('1h').describe('How long both sides of a tunnel (WebSocket) may be silent.'),
  connections: count({ least: 1 })
    .prefault(10_000)
    .describe('Connections of clients, over all workers; one more gets 503.'),
});

export const listenSchema = z.strictObject({
  host: text.prefault('127.0.0.1').describe('The address to listen on.'),
  port: port.prefault(8080).describe('0: any free port, printed at the start.'),
  workers: z
    .union([z.literal('auto'), count({ least: 1, most: 256 })], {
      error: 'auto, or a whole number from 1 to 256',
    })
    .prefault('auto')
    .describe('auto: one per processor, at most 8.'),
  'trusted-proxies': z
    .array(addressBlock)
    .prefault([])
    .describe('Addresses and CIDR blocks whose X-Forwarded-* and Forwarded fields are believed.'),
  forwarding: z
    .enum(['any', 'forwarded', 'x-forwarded'])
    .prefault('any')
    .describe(
      'Which of these fields of trusted proxies are believed. any: both; a request in which they contradict each other gets 400.',
    ),
  'ambiguous-paths': z
    .enum(['refuse', 'pass'])
    .prefault('refuse')
    .describe(
      'Paths that have a dot segment once they are decoded, such as /a/..%2Fb. refuse: 400. pass: passed to the origin, unstored.',
    ),
  underscores: z
    .enum(['drop', 'keep'])
    .prefault('drop')
    .describe(
      'Request fields whose names have characters other than letters, digits and hyphens, such as X_Name, which many origins read as X-Name. drop: not sent to the origin. keep: sent.',
    ),
  limits: limitsSchema.prefault({}).describe('Bounds on what clients may send.'),
  'stop-timeout': timeout()
    .prefault('30s')
    .describe('How long requests in progress may take after a stop has begun.'),
  'stop-streams': timeout({ least: 0 })
    .prefault('1s')
    .describe(
      'How long event streams and tunnels may continue after a stop has begun. Their clients connect again.',
    ),
  tls: z
    .strictObject({
      cert: text.describe('File of the certificate chain (PEM).'),
      key: text.describe('File of the private key (PEM).'),
    })
    .optional()
    .describe('HTTPS on the main port.'),
});

const adminLimitsSchema = z.strictObject({
  body: size({ least: 1_024 }).prefault('1MiB').describe('The largest content of a request; beyond it 413.'),
  request: timeout().prefault('30s').describe('The time until a request is complete; then 408.'),
  connections: count({ least: 1, most: 65_536 })
    .prefault(256)
    .describe('Connections at a time; one more is closed.'),
});

export const adminSchema = z.strictObject({
  host: text.prefault('127.0.0.1').describe('The address to listen on. Off loopback a token is required.'),
  port: port.prefault(8081).describe('0: any free port, printed at the start.'),
  token: z
    .string()
    .prefault('')
    .describe(
      'The bearer token that requests need. Empty: none, and only loopback names in Host are answered.',
    ),
  limits: adminLimitsSchema.prefault({}).describe('Bounds on what the admin port takes.'),
});

export const logSchema = z.strictObject({
  level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .prefault('info')
    .describe('The least important lines to write.'),
  access: z.boolean().prefault(false).describe('A line for each request.'),
});

export const cacheSchema = z.strictObject({
  memory: size().prefault('256MiB').describe('The memory tier, of all workers together. 0 switches it off.'),
  disk: z
    .strictObject({
      path: text
        .prefault('./.weir')
        .describe('The folder, relative to the configuration file. It holds the state too.'),
      size: size().prefault('10GiB').describe('The disk tier. 0 switches it off.'),
      queue: z
        .union([z.literal('auto'), size({ least: 2 ** 20 })], {
          error: 'auto, or a size such as 16MiB of 1048576 B or more',
        })
        .prefault('auto')
        .describe(
          'What may wait to be written; beyond it new entries are stored in memory alone. auto: a quarter of memory, from 8MiB to 64MiB.',
        ),
    })
    .prefault({})
    .describe('What outlasts a restart.'),
  'max-object': size().prefault('1GiB').describe('A larger body is not stored.'),
  heaps: z
    .enum(['auto', 'small', 'fast'])
    .prefault('auto')
    .describe(
      'Memory of the threads outside the cache. small: as little as possible, with more garbage collection. fast: what makes a hit cheapest. auto: small with up to 64MiB of memory.',
    ),
});

export const cacheStatusSchema = z.strictObject({
  key: z
    .boolean()
    .prefault(false)
    .describe('Whether Cache-Status shows the cache key, with hashed values of header fields and cookies.'),
});

export const fenceSchema = z.strictObject({
  records: count({ least: 1, most: 2 ** 28 })
    .prefault(4_000_000)
    .describe('Invalidated tags that are remembered exactly.'),
});

export const flightsSchema = z.strictObject({
  // With a smaller window, disk chunks and network reads would wait for each other.
  window: size({ least: 256 * 1024 })
    .prefault('1MiB')
    .describe('Bytes of one body held while it streams.'),
  waiters: count({ least: 1 }).prefault(10_000).describe('Clients that may wait for one flight.'),
  waiting: count({ least: 1 })
    .prefault(50_000)
    .describe('Clients that may wait for flights, in each worker.'),
  background: count({ least: 1 }).prefault(32).describe('Background refreshes at a time, in each worker.'),
  failures: count({ least: 1 })
    .prefault(10_000)
    .describe("Keys whose failure is remembered for their route's failure-ttl, in each worker."),
});

export const journalSchema = z.strictObject({
  size: size({ most: 8 * 2 ** 30 })
    .prefault('1GiB')
    .describe('The size of waiting and dead writes; beyond it the journal is full.'),
  receiving: size()
    .prefault('32MiB')
    .describe('Content of writes behind that is being received, in each worker; beyond it on-full decides.'),
  deliveries: count({ least: 1, most: 4096 })
    // More deliveries would slow acknowledgements: each delivery makes two synced changes.
    .prefault(16)
    .describe('Writes sent to one origin at a time.'),
  done: count({ least: 1_000, most: 10_000_000 })
    .prefault(100_000)
    .describe('Delivered writes that can still be looked up, and whose Idempotency-Key is still known.'),
  responses: size({ most: 4 * 2 ** 30 })
    .prefault('64MiB')
    .describe(
      "The origin's responses that are kept for requests with a known Idempotency-Key; beyond it those of the earliest writes go.",
    ),
});

export const writesSchema = z.strictObject({
  'held-per-client': count({ least: 1, most: 1_000_000 })
    .prefault(1_000)
    .describe(
      'Writes of one client address (of IPv6: one /64) that are in progress or of unknown outcome; beyond it 429.',
    ),
  held: count({ least: 1, most: 1_000_000 })
    .prefault(10_000)
    .describe('The same of all clients; beyond it 503.'),
});

export const originSchema = z.strictObject({
  url: z
    .union([originUrl, z.array(originUrl).min(1, { error: 'at least one URL' })], {
      error: 'an http(s) URL, a list of them, or demo:',
    })
    .describe('http(s)://host:port, a list of them, or demo: (a small built-in shop).'),
  'host-header': z
    .enum(['origin', 'client'])
    .prefault('origin')
    .describe("Host as the origin sees it: its own, or the client's (then part of the key)."),
  connections: count({ least: 1, most: 65_535 })
    .prefault(128)
    .describe('The most connections to each URL of this origin, shared among the workers.'),
  queue: z
    .strictObject({
      size: count({ least: 0 }).prefault(1024).describe('Requests that may wait for a connection.'),
      timeout: timeout().prefault('5s').describe('How long a request waits; then 503.'),
    })
    .prefault({})
    .describe('Requests that wait for a connection.'),
  timeouts: z
    .strictObject({
      connect: timeout().prefault('2s').describe('Until the connection is open.'),
      headers: timeout().prefault('30s').describe("From the request until the answer's head."),
      body: timeout().prefault('60s').describe('The longest pause between two parts of a body.'),
      abandoned: timeout()
        .prefault('5s')
        .describe('How long Weir waits for the response to a write after its client has left.'),
    })
    .prefault({})
    .describe('How long the origin may take.'),
  retry: count({ least: 0, most: 10 })
    .prefault(1)
    .describe('How often a safe request is sent again where the connection failed.'),
  'max-processing': timeout({ least: 0 })
    .prefault('60s')
    .describe('How long the origin may still carry out a write after its connection was lost.'),
  breaker: z
    .strictObject({
      failures: count({ least: 1 }).prefault(5).describe('Failures in a row that open the breaker.'),
      open: timeout().prefault('10s').describe('How long the breaker stays open before a trial.'),
    })
    .optional()
    .describe('A circuit breaker: a failing origin is not asked for a while.'),
  health: z
    .strictObject({
      path: absolutePath.prefault('/healthz').describe('The path of the check, requested with GET.'),
      interval: timeout({ least: 100 }).prefault('5s').describe('The time between two checks.'),
    })
    .optional()
    .describe('Health checks of each URL of the origin.'),
  tls: z
    .strictObject({
      ca: text.optional().describe('File of the authorities to trust (PEM).'),
      'server-name': text.optional().describe('The name that the certificate must have.'),
    })
    .optional()
    .describe('HTTPS to the origin.'),
  demo: z
    .strictObject({ delay: timeout({ least: 0 }).prefault('0ms').describe('How long each answer takes.') })
    .prefault({})
    .describe('The built-in shop (demo:).'),
});

const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()]);

const conditionSchema = z.union(
  [
    scalar,
    z.array(scalar).min(1),
    z
      .strictObject({
        exists: z.boolean().optional().describe('Whether the name is there.'),
        changed: z.boolean().optional().describe('Whether before and after differ.'),
      })
      .refine(({ exists, changed }) => exists !== undefined || changed !== undefined, {
        error: '{ exists: true or false }, { changed: true or false } or both',
        when: isFineSoFar,
      }),
  ],
  { error: 'a value, a list of values, { exists: true or false } or { changed: true or false }' },
);

const mappingSchema = z.strictObject({
  when: z
    .record(z.string(), conditionSchema)
    .optional()
    .describe('Dotted paths in the change and what they must be, all of them. Absent: always.'),
  invalidate: invalidationSchema
    .refine((templates) => Object.values(templates).some((list) => list.length > 0), {
      error: 'at least one tag, URL or prefix',
      when: isFineSoFar,
    })
    .describe('With {name} for a value of the change, before and after both counting.'),
});

/** The keys of every feed. `feedSchemaOf` adds the known types and the default of `read-lag`. */
const commonFeedSchema = z.strictObject({
  type: feedTypeSchema(z.string()),
  format: z.enum(['json', 'cloudevents', 'debezium']).prefault('json').describe('What a message looks like.'),
  'max-silence': timeout({ least: 100 })
    .prefault('30s')
    .describe('How long the feed may go without a proof that it is current; then it is not live.'),
  'read-lag': readLagSchema('0s'),
  'version-field': text
    .optional()
    .describe(
      'Dotted path in each change to a number that rises along the feed, which version-header attests.',
    ),
  map: z.array(mappingSchema).prefault([]).describe('What a change invalidates.'),
  demo: z.boolean().prefault(false).describe('true: left out unless an origin is the built-in shop (demo:).'),
});

export const COMMON_FEED_KEYS: readonly string[] = Object.keys(commonFeedSchema.shape);

/** The schema of a feed of this type. For an unknown type, only the keys of every feed are checked. */
export function feedSchemaOf(type: unknown, feedTypes: FeedTypes): FeedSchema {
  const known = typeof type === 'string' && Object.hasOwn(feedTypes, type) ? feedTypes[type] : undefined;
  if (known === undefined) {
    const types = feedTypeSchema(z.enum(Object.keys(feedTypes)));
    return commonFeedSchema.extend({ type: types }).loose();
  }
  const common = commonFeedSchema.extend({
    type: feedTypeSchema(z.literal(String(type))),
    'read-lag': readLagSchema(known.readLag),
  });
  return z.strictObject({ ...known.schema.shape, ...common.shape });
}

/** The values over which a route's `cache` and `write` are merged. */
export const defaultsSchema = z.strictObject({
  cache: routeCacheSchema.prefault({}).describe("Merged under every route's own cache keys."),
  write: routeWriteSchema.prefault({}).describe("Merged under every route's own write keys."),
});

/** The whole file. */
export function configSchema(feedTypes: FeedTypes) {
  return z.strictObject({
    listen: listenSchema.prefault({}).describe('The main port.'),
    admin: adminSchema.prefault({}).describe('The admin port.'),
    log: logSchema.prefault({}).describe('Log lines, on standard output.'),
    cache: cacheSchema.prefault({}).describe('How much is stored, and where.'),
    'cache-status': cacheStatusSchema.prefault({}).describe('What Cache-Status shows to clients.'),
    fence: fenceSchema.prefault({}).describe('The table of invalidations.'),
    flights: flightsSchema
      .prefault({})
      .describe('Bounds on requests to the origin and on who waits for them.'),
    journal: journalSchema.prefault({}).describe('The durable queue of accepted writes.'),
    writes: writesSchema.prefault({}).describe('Bounds on writes that are sent to the origin at once.'),
    origins: z
      .record(z.string(), originSchema)
      .describe('The HTTP servers behind Weir, by name. At least one.'),
    feeds: z
      .record(z.string(), anyFeedSchema(feedTypes))
      .prefault({})
      .describe('Streams of changes from the origin, by name.'),
    defaults: defaultsSchema.prefault({}).describe('Merged under every route; lists are replaced.'),
    routes: z
      .array(routeSchema)
      .prefault([])
      .describe('The first that matches wins. None, and one origin: one route /* with the defaults.'),
  });
}

export type ListenInput = z.output<typeof listenSchema>;
export type AdminInput = z.output<typeof adminSchema>;
export type LogInput = z.output<typeof logSchema>;
export type CacheInput = z.output<typeof cacheSchema>;
export type CacheStatusInput = z.output<typeof cacheStatusSchema>;
export type FenceInput = z.output<typeof fenceSchema>;
export type FlightsInput = z.output<typeof flightsSchema>;
export type JournalInput = z.output<typeof journalSchema>;
export type WritesInput = z.output<typeof writesSchema>;
export type OriginInput = z.output<typeof originSchema>;
export type FeedInput = z.output<typeof commonFeedSchema>;

type FeedSchema =
  | z.ZodObject<typeof commonFeedSchema.shape, z.core.$loose>
  | z.ZodObject<typeof commonFeedSchema.shape, z.core.$strict>;

function anyFeedSchema(feedTypes: FeedTypes) {
  return z.union(Object.keys(feedTypes).map((type) => feedSchemaOf(type, feedTypes)));
}

function readLagSchema(byDefault: string) {
  return timeout({ least: 0 })
    .prefault(byDefault)
    .describe('How long after a change the origin may still answer with the old state.');
}

function feedTypeSchema(types: z.ZodType<string, string>): z.ZodType<string, string> {
  return types.describe('Where changes come from.');
}

/** A missing key of a map is not reported if the map has a misspelt key. */
function isFineSoFar({ issues }: z.core.ParsePayload): boolean {
  return issues.length === 0;
}
