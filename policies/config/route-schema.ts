/** The schema of a route, as it is written in the configuration file. */
import { z } from 'zod';
import { duration, size, timeout } from './units.ts';
import {
  cookieName,
  count,
  headerName,
  headerValue,
  host,
  identifier,
  method,
  pathPattern,
  tagTemplate,
  text,
  urlTemplate,
} from './value-schemas.ts';

export const invalidationSchema = z.strictObject({
  tags: z.array(tagTemplate).prefault([]).describe('Tags, with {name} for a value.'),
  urls: z.array(urlTemplate).prefault([]).describe('URLs: paths (on every host) or absolute.'),
  prefixes: z.array(urlTemplate).prefault([]).describe('Everything below these paths, by whole segments.'),
});

const queryKeySchema = z.union(
  [
    z.enum(['all', 'none']),
    z.strictObject({ only: z.array(text).describe('The parameters that count.') }),
    z.strictObject({ except: z.array(text).describe('The parameters that do not count.') }),
  ],
  { error: 'all, none, { only: [names] } or { except: [names] }' },
);

const keySchema = z.strictObject({
  query: queryKeySchema
    .prefault('all')
    .describe('Which query parameters are in the key: all, none, { only: [] } or { except: [] }.'),
  headers: z.array(headerName).prefault([]).describe('Request header fields in the key.'),
  cookies: z.array(cookieName).prefault([]).describe('Cookies in the key.'),
});

const bypassSchema = z.strictObject({
  cookies: z.array(cookieName).prefault([]).describe('Requests with one of these cookies.'),
  headers: z.array(headerName).prefault([]).describe('Requests with one of these header fields.'),
});

const downstreamSchema = z.strictObject({
  'cache-control': headerValue.optional().describe('Cache-Control for clients. Absent: as the origin said.'),
  'cdn-cache-control': headerValue
    .optional()
    .describe('CDN-Cache-Control for the CDN (RFC 9213). Absent: as the origin said.'),
  'keep-tags': z
    .boolean()
    .prefault(true)
    .describe('Whether Surrogate-Key and Cache-Tag are sent on to the CDN.'),
});

export const routeCacheSchema = z.strictObject({
  freshness: z
    .enum(['headers', 'fixed', 'until-changed', 'none'])
    .prefault('headers')
    .describe(
      'How long a response is fresh. headers: as it says (RFC 9111). fixed: for ttl. until-changed: until its feed reports a change. none: nothing is stored.',
    ),
  ttl: duration().optional().describe('fixed: the lifetime. Required there.'),
  'default-ttl': duration()
    .optional()
    .describe('headers: the lifetime where the response gives none, in place of the heuristic.'),
  'max-ttl': duration().prefault('24h').describe('until-changed: the longest lifetime.'),
  'negative-ttl': duration().prefault('10s').describe('fixed, until-changed: the lifetime of 404 and 410.'),
  'failure-ttl': duration()
    .prefault('1s')
    .describe('How long a failure of the origin answers others who ask for the same. 0s: not at all.'),
  feed: identifier.optional().describe('until-changed: the feed that reports changes. Required there.'),
  'on-feed-loss': z
    .enum(['revalidate', 'use-headers', 'bypass'])
    .prefault('revalidate')
    .describe(
      "What to do while the feed is not live. revalidate: ask the origin about every entry. use-headers: the response's own lifetime. bypass: pass every request.",
    ),
  'stale-while-revalidate': duration()
    .optional()
    .describe('How long a stale response may be served while it is refreshed. Absent: as the response says.'),
  'stale-if-error': duration()
    .optional()
    .describe(
      'How long a stale response may be served while the origin fails. Absent: as the response says.',
    ),
  'client-directives': z
    .enum(['ignore', 'honor'])
    .prefault('ignore')
    .describe('Whether Cache-Control and Pragma of requests are obeyed.'),
  'ignore-origin': z
    .array(z.enum(['private', 'no-store', 'no-cache', 'authorization']))
    .prefault([])
    .describe('Prohibitions of the origin that this route ignores.'),
  'set-cookie': z
    .enum(['pass', 'strip'])
    .prefault('pass')
    .describe('A response with Set-Cookie. pass: not stored. strip: stored without it.'),
  bypass: bypassSchema
    .prefault({})
    .describe('Requests that are passed to the origin and back, neither answered from the cache nor stored.'),
  key: keySchema.prefault({}).describe('What distinguishes responses, besides origin and path.'),
  tags: z
    .array(tagTemplate)
    .prefault([])
    .describe('Tags of every response of this route, with {name} for a parameter of its pattern.'),
  'range-miss': z
    .enum(['whole', 'pass'])
    .prefault('whole')
    .describe(
      'A range of what is not stored. whole: all of it is fetched and stored. pass: the range alone.',
    ),
  'max-variants': count({ least: 1 }).prefault(64).describe('Variants (Vary) that one key may have.'),
  'max-vary': size()
    .prefault('4KiB')
    .describe(
      'The size of the request fields that Vary names, names and values. The answer to a request with more is not stored.',
    ),
  'max-conditions': size()
    .prefault('2KiB')
    .describe(
      "The size of the entity tags in one request that asks the origin about stored responses, the request's own variants first.",
    ),
  'max-condition-tags': count({ least: 1 })
    .prefault(32)
    .describe('The number of these tags. A variant whose tag has no room is fetched, not revalidated.'),
  evict: z
    .enum(['normal', 'last'])
    .prefault('normal')
    .describe(
      'When the disk is full. last: entries stay, and others make room. If they alone fill the disk, nothing new is stored, and a metric and the log say so.',
    ),
  'version-header': headerName
    .optional()
    .describe(
      "The origin's field that says how current an answer is: the feed's position, or its version-field.",
    ),
  'position-header': z
    .boolean()
    .prefault(false)
    .describe('Whether responses carry Weir-Position, and requests may ask for one with Weir-Min-Position.'),
  'position-wait': timeout({ least: 0 })
    .prefault('1s')
    .describe('position-header: how long a request may wait for its position, and a write for its own.'),
  'targeted-fields': z
    .array(headerName)
    .prefault(['cdn-cache-control'])
    .describe('Targeted fields that Weir obeys (RFC 9213): the first that the response has.'),
  'max-tags': count({ least: 1, most: 100_000 })
    .prefault(256)
    .describe('A response with more tags is not stored.'),
  downstream: downstreamSchema.prefault({}).describe('What caches behind Weir get.'),
});

const retrySchema = z.strictObject({
  base: timeout()
    .prefault('200ms')
    .describe('The longest first pause; each further one is up to twice as long.'),
  max: timeout().prefault('60s').describe('The longest pause.'),
  attempts: count({ least: 1, most: 10_000 })
    .prefault(20)
    .describe('Attempts, after which the write is dead.'),
  statuses: z
    .array(count({ least: 400, most: 599 }))
    .optional()
    .describe(
      'Statuses after which delivery is tried again; other 4xx make the write dead at once. Absent: 408, 425, 429 and every 5xx.',
    ),
});

export const routeWriteSchema = z.strictObject({
  policy: z
    .enum(['around', 'through', 'behind'])
    .prefault('around')
    .describe(
      'around: passed to the origin. through: readers see the write before its sender is answered. behind: acknowledged once durable, delivered later.',
    ),
  invalidate: invalidationSchema.prefault({}).describe('What a write invalidates besides its target.'),
  update: z.boolean().prefault(false).describe('through: whether a PUT becomes the stored response.'),
  reads: z
    .enum(['pass', 'wait', 'pending'])
    .prefault('pass')
    .describe('behind: what readers of a URL with waiting writes get.'),
  coalesce: z
    .boolean()
    .prefault(false)
    .describe('behind: whether PUTs that were never attempted may be merged.'),
  'read-whole': size()
    .prefault('16KiB')
    .describe('around, through: content up to this size is read whole before anything is sent; 0: none.'),
  'max-body': size().prefault('1MiB').describe('behind: the largest content.'),
  oversize: z
    .enum(['reject', 'through'])
    .prefault('reject')
    .describe('behind: larger content. reject: 413. through: sent at once.'),
  'on-full': z
    .enum(['reject', 'through'])
    .prefault('reject')
    .describe('behind: a full journal. reject: 503. through: sent at once.'),
  'on-dead': z
    .enum(['hold', 'skip'])
    .prefault('hold')
    .describe('behind: whether a write that cannot be delivered stops later ones to its URL.'),
  retry: retrySchema.prefault({}).describe('behind: how delivery is tried again.'),
});

const matchSchema = z.union(
  [
    pathPattern,
    z.strictObject({
      path: pathPattern.prefault('/*').describe('{name} is one segment, a final /* zero or more.'),
      host: host.optional().describe('The host; without a port it means every port.'),
      methods: z
        .array(method)
        .min(1, { error: 'at least one method' })
        .optional()
        .describe('The methods; GET includes HEAD.'),
    }),
  ],
  { error: 'a path pattern such as /products/{id}, or { path, host, methods }' },
);

export const routeSchema = z.strictObject({
  name: text.optional().describe('The name in metrics, logs and purges. Absent: the pattern.'),
  match: matchSchema.describe(
    'A path pattern such as /products/{id} or /images/*, or { path, host, methods }.',
  ),
  origin: identifier.optional().describe('The origin; required where there are several.'),
  cache: routeCacheSchema.prefault({}).describe('What is stored, and for how long it is used.'),
  write: routeWriteSchema.prefault({}).describe('What happens to unsafe requests.'),
  demo: z
    .boolean()
    .prefault(false)
    .describe('true: left out unless its origin is the built-in shop (demo:).'),
});

export type RouteInput = z.output<typeof routeSchema>;
export type InvalidationInput = z.output<typeof invalidationSchema>;
