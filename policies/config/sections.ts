/** Validates each section of the file separately, so that an error in one does not hide errors in others. */
import type { z } from 'zod';
import { validate } from './validation.ts';
import type { Finding, Path } from './diagnostic.ts';
import { describeValue, finding, oneOf, showKey } from './diagnostic.ts';
import type { RouteInput } from './route-schema.ts';
import { routeSchema } from './route-schema.ts';
import type {
  AdminInput,
  CacheInput,
  CacheStatusInput,
  FeedInput,
  FeedTypes,
  FenceInput,
  FlightsInput,
  JournalInput,
  WritesInput,
  ListenInput,
  LogInput,
  OriginInput,
} from './schema.ts';
import {
  adminSchema,
  cacheSchema,
  cacheStatusSchema,
  configSchema,
  defaultsSchema,
  feedSchemaOf,
  fenceSchema,
  flightsSchema,
  journalSchema,
  writesSchema,
  listenSchema,
  logSchema,
  originSchema,
} from './schema.ts';
import { DEMO_URL, identifier } from './value-schemas.ts';

/** Null: the section is invalid, and its errors were reported. */
export interface Sections {
  readonly listen: ListenInput | null;
  readonly admin: AdminInput | null;
  readonly log: LogInput | null;
  readonly cache: CacheInput | null;
  readonly cacheStatus: CacheStatusInput | null;
  readonly fence: FenceInput | null;
  readonly flights: FlightsInput | null;
  readonly journal: JournalInput | null;
  readonly writes: WritesInput | null;
  readonly origins: ReadonlyMap<string, OriginInput | null>;
  readonly feeds: ReadonlyMap<string, FeedInput | null>;
  readonly routes: readonly RouteSection[];
}

export interface RouteSection {
  /** The routes, merged over the defaults. */
  readonly route: RouteInput | null;
  readonly own: Layer;
  readonly defaults: Layer;
}

/** One source of a merged route: the values as written, valid or not, and their path. */
export interface Layer {
  readonly path: Path;
  readonly written: unknown;
}

export function readSections(document: unknown, feedTypes: FeedTypes, findings: Finding[]): Sections {
  const root = mapAt(document ?? {}, [], findings);
  reportUnknownKeys(root, Object.keys(configSchema(feedTypes).shape), findings);
  const section = <Schema extends z.ZodType>(key: string, schema: Schema): z.output<Schema> | null =>
    validate(schema, root[key] ?? {}, [key], findings).value;
  const origins = readNamed(root, 'origins', () => originSchema, findings);
  const feeds = readNamed(root, 'feeds', (feed) => feedSchemaOf(typeOf(feed), feedTypes), findings);
  const hasDemo = [...origins.values()].some(isDemo);
  return {
    listen: section('listen', listenSchema),
    admin: section('admin', adminSchema),
    log: section('log', logSchema),
    cache: section('cache', cacheSchema),
    cacheStatus: section('cache-status', cacheStatusSchema),
    fence: section('fence', fenceSchema),
    flights: section('flights', flightsSchema),
    journal: section('journal', journalSchema),
    writes: section('writes', writesSchema),
    origins,
    feeds: new Map([...feeds].filter(([, feed]) => hasDemo || feed?.demo !== true)),
    routes: readRoutes(root, origins, findings),
  };
}

function isDemo(origin: OriginInput | null | undefined): boolean {
  return origin !== null && origin !== undefined && [origin.url].flat().includes(DEMO_URL);
}

function readNamed<Schema extends z.ZodType>(
  root: Readonly<Record<string, unknown>>,
  key: string,
  schemaFor: (written: unknown) => Schema,
  findings: Finding[],
): Map<string, z.output<Schema> | null> {
  const named = new Map<string, z.output<Schema> | null>();
  for (const [name, written] of Object.entries(mapAt(root[key] ?? {}, [key], findings))) {
    const path = [key, name];
    const asName = identifier.safeParse(name);
    if (!asName.success) {
      findings.push(finding(path, asName.error.issues[0]!.message, JSON.stringify(name), 'key'));
    }
    named.set(name, validate(schemaFor(written), written ?? {}, path, findings).value);
  }
  return named;
}

function readRoutes(
  root: Readonly<Record<string, unknown>>,
  origins: Sections['origins'],
  findings: Finding[],
): RouteSection[] {
  const defaults = { path: ['defaults'], written: root['defaults'] ?? {} };
  const { fitting: under } = validate(defaultsSchema, defaults.written, defaults.path, findings);
  const routes = root['routes'] ?? [];
  if (!Array.isArray(routes)) {
    findings.push(finding(['routes'], 'a list', describeValue(routes, ['routes'])));
    return [];
  }
  const [onlyOrigin] = origins.keys();
  const read = routes.flatMap((written: unknown, i): RouteSection[] => {
    const own = { path: ['routes', i], written };
    const { value, fitting } = validate(routeSchema, written, own.path, findings);
    const route = value === null ? null : routeSchema.parse(merged(under, fitting));
    const isLeftOut = route?.demo === true && !isDemo(origins.get(route.origin ?? onlyOrigin ?? ''));
    return isLeftOut ? [] : [{ route, own, defaults }];
  });
  if (read.length > 0) return read;
  const route = routeSchema.parse(merged(under, IMPLICIT_ROUTE));
  return [{ route, own: { path: ['routes'], written: IMPLICIT_ROUTE }, defaults }];
}

/** The route of a file without routes, or with routes for the demo shop only while another origin is used. */
const IMPLICIT_ROUTE = { name: 'default', match: '/*' };

/** Keys whose map is a choice of one: `{ only: [] }` merged over `{ except: [] }` would be neither. */
const ALTERNATIVES: ReadonlySet<string> = new Set(['query']);

/** Merges maps key by key. Other values, also lists, are taken from `over` if present. */
function merged(under: unknown, over: unknown): unknown {
  if (!isMap(under) || !isMap(over)) return over === undefined ? under : over;
  const keys = new Set([...Object.keys(under), ...Object.keys(over)]);
  const one = (key: string) =>
    ALTERNATIVES.has(key) ? (over[key] ?? under[key]) : merged(under[key], over[key]);
  return Object.fromEntries([...keys].map((key) => [key, one(key)]));
}

function mapAt(value: unknown, path: Path, findings: Finding[]): Readonly<Record<string, unknown>> {
  if (isMap(value)) return value;
  findings.push(finding(path, 'a map', describeValue(value, path)));
  return {};
}

function reportUnknownKeys(
  map: Readonly<Record<string, unknown>>,
  known: readonly string[],
  findings: Finding[],
): void {
  for (const key of Object.keys(map)) {
    if (!known.includes(key)) findings.push(finding([key], oneOf(known, key), showKey(key), 'key'));
  }
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function typeOf(feed: unknown): unknown {
  return isMap(feed) ? feed['type'] : undefined;
}
