import { createHash } from 'node:crypto';
import type { Config } from '../../policies/config/config.ts';
import type { StateStore } from '../state/state-store.ts';

/** The routes whose configuration has changed since this run or an earlier one may have stored entries under them. */
export interface ChangedRoutes {
  /** Whether there is anything to note. */
  readonly isAny: boolean;
  /** The routes whose entries must be invalidated. */
  readonly names: readonly string[];
  /** `names` and the new routes. Entries of a new route can only have been stored while threads change over. */
  readonly withNew: readonly string[];
  /** Stores the current digests of all routes. Runs inside the transaction that invalidates. */
  readonly note: () => void;
}

/** The digest of a removed route: invalidations do not follow its rules while it is absent. */
const TAKEN_OUT = Buffer.alloc(0);
const FIRST = 'route:';
const BEYOND = 'route;';

export function changedRoutes(config: Config, state: StateStore): ChangedRoutes {
  const digests = state.table('digests');
  const wanted = config.routes.map((route) => {
    const key = `${FIRST}${createHash('sha256').update(route.name).digest('hex')}`;
    const { match, origin, cache } = route;
    const digest = createHash('sha256').update(JSON.stringify({ match, origin, cache })).digest();
    return { name: route.name, key, digest, before: digests.get(key) };
  });
  const changed = wanted.filter(({ digest, before }) => before?.equals(digest) !== true);
  const kept = new Set(wanted.map(({ key }) => key));
  const gone = Array.from(digests.range({ from: Buffer.from(FIRST), to: Buffer.from(BEYOND) })).filter(
    ({ key, value }) => !kept.has(key.toString()) && !value.equals(TAKEN_OUT),
  );
  return {
    isAny: changed.length + gone.length > 0,
    withNew: changed.map(({ name }) => name),
    names: changed.filter(({ before }) => before !== undefined).map(({ name }) => name),
    note() {
      for (const { key, digest } of changed) digests.put(key, digest);
      for (const { key } of gone) digests.put(key, TAKEN_OUT);
    },
  };
}
