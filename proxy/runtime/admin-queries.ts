import type { Config, RouteConfig } from '../../policies/config/config.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { keyOnRoute, originKeyOf, shownKey, shownValue } from '../../policies/key.ts';
import type { FeedTrust, StoredMeta } from '../../policies/model.ts';
import type { UrlPlace } from '../../policies/url-place.ts';
import { shownTag } from '../../policies/tags.ts';
import { compileRoutes } from '../../policies/routing.ts';
import { currentAgeSeconds } from '../../policies/rfc9111/freshness.ts';
import { decideReuse } from '../../policies/rfc9111/reuse.ts';
import type { AdminDenial, EntriesResult, EntryReport, FoundEntries } from '../admin/dependencies.ts';
import type { DiskWriter } from '../store/disk/writer.ts';
import { mergedHead, type EntryHead } from '../store/entry-head.ts';
import { StoredEntry } from '../store/entry.ts';
import { judge } from '../store/verdict.ts';
import type { Clock } from '../threads/clock.ts';
import type { FeedStatus } from '../feeds/status.ts';
import { SharedWords } from '../fence/layout.ts';
import { FenceReader } from '../fence/reader.ts';
import type { Fence } from '../fence/fence.ts';
import type { OriginCells } from '../origins/origin-cells.ts';
import type { OriginCounters } from '../origins/origin-counters.ts';
import type { WriteStats } from '../writes/journal-admin.ts';
import type { WeirStats } from './stats.ts';
import { openConnections } from './connection-counter.ts';
import { processMemory } from './process-memory.ts';
import type { WorkerPool } from './worker-pool.ts';
import { sumOf } from '../threads/counters.ts';

export interface AdminQueriesDependencies {
  readonly version: string;
  readonly clock: Clock;
  readonly fence: Fence;
  readonly disk: DiskWriter | null;
  readonly pool: WorkerPool;
  readonly connections: SharedArrayBuffer;
  config(): Config;
  feeds(): readonly FeedStatus[];
  writes(): WriteStats;
  /** Counts the coordinator's own requests to origins, which workers do not count. */
  readonly asked: OriginCounters;
  originCells(): OriginCells;
  /** Requests to the admin side that were refused, by reason. */
  adminRefused(): Readonly<Record<AdminDenial, number>>;
  /** How far a route's entries can be trusted, given the state of its feed. */
  trustOf(route: RouteConfig): FeedTrust;
}

const SAMPLE = 20;
const SCAN_MS = 10_000;

/** Queries of the admin side over the whole process. */
export function adminQueries(deps: AdminQueriesDependencies) {
  const startedAtMs = deps.clock.monotonicMs();
  const reader = new FenceReader(new SharedWords(deps.fence.buffer), deps.clock);
  return {
    stats: async (): Promise<WeirStats> => statsOf(deps, startedAtMs, await deps.pool.stats()),
    findEntries: (tags: readonly string[]) => findEntries(deps, tags),
    entries: (place: UrlPlace, fields: Fields, scheme: 'http' | 'https') =>
      entriesOf(deps, reader, { place, fields, scheme }),
  };
}

function statsOf(
  deps: AdminQueriesDependencies,
  startedAtMs: number,
  { counters: workers, silent }: PoolStats,
): WeirStats {
  const { fence, disk, pool } = deps;
  const { superseded, ...flights } = workers.flights;
  const { timedHolds, ...writes } = deps.writes();
  const config = deps.config();
  return {
    version: deps.version,
    uptimeSeconds: Math.round((deps.clock.monotonicMs() - startedAtMs) / 1000),
    workers: { running: pool.running, replaced: pool.replaced, ...named(silent) },
    connections: openConnections(deps.connections),
    process: { ...processMemory(), fenceBytes: fence.buffer.byteLength },
    memory: { ...workers.memory, limitBytes: config.cache.memoryBytes },
    disk: disk === null ? null : diskStats(disk, config, workers),
    fence: {
      sequence: fence.sequence,
      durableSequence: fence.durableSequence,
      invalidations: fence.invalidations,
      overflows: fence.overflows,
      holds: fence.holds,
      failures: fence.failures,
      isFailing: fence.isFailing,
    },
    flights: { ...flights, outrun: superseded },
    requests: workers.requests,
    admin: { refused: { ...deps.adminRefused() } },
    origins: Object.fromEntries(
      Object.keys(config.origins).map((name) => [name, sumOf(deps.asked.of(name), workers.origins[name])]),
    ),
    feeds: deps.feeds(),
    writes: { ...writes, lingering: timedHolds },
    ...originHealth(deps),
  };
}

/** Omits the property if every worker answered. */
function named(silent: readonly number[]): { readonly silent?: readonly number[] } {
  return silent.length === 0 ? {} : { silent };
}

type PoolStats = Awaited<ReturnType<WorkerPool['stats']>>;

function diskStats(disk: DiskWriter, config: Config, workers: PoolStats['counters']): WeirStats['disk'] {
  const written = disk.stats();
  const { promotions, corrupt } = workers;
  const limitBytes = config.cache.disk.sizeBytes;
  return { ...written, corrupt: written.corrupt + corrupt, limitBytes, promotions };
}

/** Scans both tiers in slices. An entry in several places counts once. */
async function findEntries(
  { disk, pool, clock }: AdminQueriesDependencies,
  tags: readonly string[],
): Promise<FoundEntries> {
  const wanted = new Set(tags);
  const endsAtMs = clock.monotonicMs() + SCAN_MS;
  const { answers, silent } = await pool.find(tags);
  const inMemory = new Map(answers.flat().map(({ id, url }) => [id, url]));
  const sample = [...inMemory.values()].slice(0, SAMPLE);
  let entries = inMemory.size;
  const isComplete = silent.length === 0;
  if (disk === null) return { entries, sample, complete: isComplete, ...named(silent) };
  for await (const heads of disk.scan(({ tags: borne }) => borne.some((tag) => wanted.has(tag)))) {
    const onlyThere = heads.filter((head) => !inMemory.has(head.id));
    entries += onlyThere.length;
    sample.push(...onlyThere.slice(0, SAMPLE - sample.length).map((head) => head.url));
    if (clock.monotonicMs() > endsAtMs) return { entries, sample, complete: false, ...named(silent) };
  }
  return { entries, sample, complete: isComplete, ...named(silent) };
}

async function entriesOf(
  deps: AdminQueriesDependencies,
  reader: FenceReader,
  asked: { readonly place: UrlPlace; readonly fields: Fields; readonly scheme: 'http' | 'https' },
): Promise<EntriesResult> {
  const { place, fields, scheme } = asked;
  const config = deps.config();
  const match = compileRoutes(config.routes).match('GET', place.authority ?? '', place.path);
  if (match.kind !== 'route') return { kind: 'no-route' };
  const { route } = match;
  const origin = config.origins[route.origin]!;
  if (origin.hostHeader === 'client' && place.authority === null) return { kind: 'host-needed' };
  const keyed = { config: route, originConfig: origin, originKey: originKeyOf(origin) };
  const target = { ...place, scheme, authority: place.authority ?? '' };
  const { key } = keyOnRoute(keyed, target, fields);
  const found = new Map<string, Copies>();
  const { answers, silent } = await deps.pool.entries(key);
  for (const { memory, disk } of answers) {
    for (const head of memory) noteCopy(found, head, 'memory');
    for (const head of disk) noteCopy(found, head, 'disk');
  }
  const nowMs = deps.clock.nowMs();
  const entries = [...found.values()].map(({ head, tiers }): EntryReport => {
    const entry = new StoredEntry(head, null, []);
    const decision = decideReuse({
      meta: head.meta,
      request: { method: 'GET', fields: [] },
      ...judge({ fence: reader, trustOf: deps.trustOf }, entry, route),
      policy: route.cache,
      nowMs,
    });
    const age = currentAgeSeconds(head.meta, nowMs);
    return {
      id: head.id,
      status: head.meta.status,
      vary: shownVary(head.meta, route.cache.key.headers),
      tags: head.tags.map(shownTag),
      age: Math.floor(age),
      freshFor: Math.floor(head.meta.lifetimeSeconds - age),
      floor: head.floor,
      size: head.sizeBytes,
      levels: [...tiers],
      usable: decision.kind === 'serve',
      why: decision.kind === 'serve' ? 'fresh' : decision.reason,
    };
  });
  return { kind: 'report', report: { key: shownKey(key), entries, ...named(silent) } };
}

/** Shows values that may be secret as digests, as the key does. */
function shownVary(
  { vary, varyValues }: StoredMeta,
  keyed: readonly string[],
): Record<string, string | null> {
  return Object.fromEntries(
    vary.map((name, i) => {
      const value = varyValues[i] ?? null;
      const isSecret = !SHOWN_NAME.test(name) || keyed.includes(name);
      return [name, value !== null && isSecret ? shownValue(value) : value];
    }),
  );
}

/** Fields whose values are never secret. */
const SHOWN_NAME = /^(?:accept(?:-[a-z-]+)?|origin|user-agent|save-data|sec-[a-z-]+|x-requested-with)$/;

/** The copies of one entry on all workers; the head merges what each worker knows. */
interface Copies {
  readonly head: EntryHead;
  readonly tiers: ReadonlySet<TierName>;
}

type TierName = 'memory' | 'disk';

function noteCopy(found: Map<string, Copies>, head: EntryHead, tier: TierName): void {
  const known = found.get(head.id);
  found.set(head.id, {
    head: known === undefined ? head : mergedHead(known.head, head),
    tiers: new Set([...(known?.tiers ?? []), tier]),
  });
}

/** Covers only origins with health checks or with a breaker. */
function originHealth({ config, clock, originCells }: AdminQueriesDependencies) {
  const cells = originCells();
  const nowMs = clock.monotonicMs();
  const origins = Object.values(config().origins);
  return {
    originWell: Object.fromEntries(
      origins
        .filter(({ health }) => health !== null)
        .map(({ name, urls }) => [name, urls.map((_, url) => cells.isHealthy(name, url))]),
    ),
    originOpen: Object.fromEntries(
      origins.flatMap((origin) => {
        const breaker = cells.breakerOf(origin);
        return breaker === null ? [] : [[origin.name, breaker.isOpen(nowMs)]];
      }),
    ),
  };
}
