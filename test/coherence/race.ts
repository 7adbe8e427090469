/** Random acts on a `RaceWorld`, in an order that fast-check's scheduler chooses. */
import * as fc from 'fast-check';
import { ALL_TAG, tagOfUrl } from '../../policies/tags.ts';
import type { Mechanisms } from '../../proxy/mechanisms.ts';
import { RaceWorld, SECRET_TAG } from './race-world.ts';

type Act =
  | {
      readonly kind: 'get';
      readonly worker: number;
      readonly path: string;
      readonly directives: readonly string[];
    }
  | {
      readonly kind: 'change';
      readonly path: string;
      readonly value: number;
      readonly by: 'url' | 'tag' | 'all';
    }
  | { readonly kind: 'retag'; readonly path: string }
  | { readonly kind: 'evict'; readonly worker: number; readonly path: string }
  | { readonly kind: 'crash' };

const worker = fc.nat(1);
const path = fc.constantFrom('/a', '/b');
/** Directives are rare, because they make a worker ask the origin again. */
const directives = fc.constantFrom([], [], [], ['Cache-Control', 'no-cache']);

const anAct: fc.Arbitrary<Act> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('get'), worker, path, directives }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('change'),
      path,
      value: fc.nat(2),
      by: fc.constantFrom('url', 'tag', 'all'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('retag'), path }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('evict'), worker, path }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash') }) },
);

/** Starts the acts in order, each when the scheduler chooses, and runs all of them to the end. */
async function play(
  acts: readonly Act[],
  scheduler: fc.Scheduler,
  mechanisms: Mechanisms,
): Promise<RaceWorld> {
  const world = await RaceWorld.begin((what, act) => {
    void scheduler.schedule(Promise.resolve(), what).then(act);
  }, mechanisms);
  const { task } = scheduler.scheduleSequence(
    acts.map((act) => ({ label: act.kind, builder: () => perform(world, act) })),
  );
  await finish(scheduler);
  await task;
  // What every worker serves in the end is checked, too.
  for (const each of [0, 1]) for (const of of ['/a', '/b']) void world.get(each, of);
  await finish(scheduler);
  return world;
}

async function finish(scheduler: fc.Scheduler): Promise<void> {
  await settled();
  while (scheduler.count() > 0) {
    await scheduler.waitOne();
    await settled();
  }
}

/** Resolves when everything that does not wait for the scheduler has run. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function perform(world: RaceWorld, act: Act): Promise<void> {
  switch (act.kind) {
    case 'get':
      void world.get(act.worker, act.path, act.directives);
      return;
    case 'change': {
      const tag = { url: tagOfUrl(null, act.path, ''), tag: SECRET_TAG, all: ALL_TAG }[act.by];
      void world.change(act.path, act.value, [tag]);
      return;
    }
    case 'retag':
      world.retag(act.path);
      return;
    case 'evict':
      world.evict(act.worker, act.path);
      return;
    case 'crash':
      await world.crash();
      return;
    default:
      act satisfies never;
  }
}

/**
 * Runs `numRuns` races, and stops at the first that serves a stale response or has more than two concurrent requests
 * for one path. `report` describes that race, with its seed.
 */
export async function race(mechanisms: Mechanisms, numRuns: number, seed?: number) {
  let answered = 0;
  let confirmed = 0;
  const details = await fc.check(
    fc.asyncProperty(
      fc.array(anAct, { minLength: 4, maxLength: 24 }),
      fc.scheduler(),
      async (acts, scheduler) => {
        const world = await play(acts, scheduler, mechanisms);
        answered += world.answered;
        confirmed += world.origin.confirmed;
        if (world.errors.length > 0) throw world.errors[0];
        if (world.violations.length > 0) throw new Error(world.violations.join('; '));
        // The requests of a killed process keep running.
        const wasKilled = acts.some(({ kind }) => kind === 'crash');
        if (world.origin.maxRunning > 2 && !wasKilled) throw new Error('more than two requests for one path');
      },
    ),
    { numRuns, endOnFailure: true, ...(seed === undefined ? {} : { seed }) },
  );
  const why = details.errorInstance instanceof Error ? details.errorInstance.stack : '';
  const report = `${why}\n${fc.defaultReportMessage(details)}`;
  return { found: details.failed, report, answered, confirmed };
}
