import { createAdminApp } from '../admin/app.ts';
import type { AdminDenial, Control, Readiness } from '../admin/dependencies.ts';
import { startAdmin } from '../admin/server.ts';
import { NotDurableError } from '../fence/fence-state.ts';
import type { Log } from '../observability/logger.ts';
import type { RouteCounters } from '../observability/route-counters.ts';
import type { JournalAdmin } from '../writes/journal-admin.ts';
import { adminQueries, type AdminQueriesDependencies } from './admin-queries.ts';
import { createExposition } from './exposition.ts';
import { cannotListen, StartFailure } from './main-port.ts';
import type { OriginWatch } from './origin-watch.ts';
import { problemsOf, STOPPED_AT_MOST } from './problems.ts';

export interface AdminSideDependencies extends Omit<
  AdminQueriesDependencies,
  'adminRefused' | 'asked' | 'originCells' | 'writes'
> {
  readonly log: Log;
  readonly routeCounters: RouteCounters;
  readonly origins: OriginWatch;
  readonly journal: JournalAdmin;
  /** The file system of the disk path is read-only. */
  readonly isReadOnly: boolean;
  readonly control: Control | null;
  ready(): Readiness;
}

export interface AdminSide {
  readonly port: number;
  close(): Promise<void>;
}

/** Starts the admin side on its port. Rejects with a `StartFailure`. */
export async function startAdminSide(deps: AdminSideDependencies): Promise<AdminSide> {
  const { fence, disk, origins, journal, log } = deps;
  const { host, port, token, limits } = deps.config().admin;
  const refused: Record<AdminDenial, number> = {
    'foreign-host': 0,
    'foreign-page': 0,
    'not-json': 0,
    token: 0,
  };
  const queries = adminQueries({
    ...deps,
    writes: () => journal.stats(),
    adminRefused: () => refused,
    asked: origins.asked,
    originCells: () => origins.cells(),
  });
  const exposition = createExposition({ counters: deps.routeCounters, stats: queries.stats });
  const app = createAdminApp({
    token,
    log,
    onRefused: (reason) => {
      refused[reason] += 1;
    },
    config: deps.config,
    ...queries,
    metrics: () => exposition.text(),
    ready: async () => deps.ready(),
    invalidate: async (tags, mode) => {
      try {
        const { sequence } = await fence.invalidate({ tags, mode });
        return { kind: 'done', sequence };
      } catch (error) {
        if (error instanceof NotDurableError) return { kind: 'not-durable', detail: error.message };
        throw error;
      }
    },
    problems: () =>
      problemsOf({
        config: deps.config(),
        fence: { isFailing: deps.isReadOnly || fence.isFailing },
        disk,
        originCells: origins.cells(),
        originFailures: origins.problems(),
        stopped: journal.stopped(STOPPED_AT_MOST),
      }),
    feeds: deps.feeds,
    writes: journal,
    control: deps.control,
  });
  const started = await startAdmin({ host, port, app, limits });
  if (started.kind === 'failed')
    throw new StartFailure(cannotListen(host, port, started.code, started.reason));
  return started;
}
