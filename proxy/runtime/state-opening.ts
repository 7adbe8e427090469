import type { Config } from '../../policies/config/config.ts';
import type { Clock } from '../threads/clock.ts';
import type { Log } from '../observability/logger.ts';
import { ReadOnlyState } from '../state/read-only-state.ts';
import { damageOfState, openState, setStateAside, type StateStore } from '../state/state-store.ts';
import { StartFailure } from './main-port.ts';

/** Space reserved for the state, so that a cache that fills the file system does not block its writes. */
const RESERVE_BYTES = 16 * 2 ** 20;

/**
 * Opens the state at a start. A damaged state is moved away and replaced by a new one, under which no cached entry is
 * trusted. If the damaged state may hold writes, the start fails instead, because only an operator may discard writes.
 * Rejects with a `StartFailure` if no state can be opened.
 */
export async function openStateFor(config: Config, clock: Clock, log: Log): Promise<StateStore> {
  const { path } = config.cache.disk;
  let opened = await openState(path, RESERVE_BYTES);
  if (opened.kind === 'failed' && opened.isDamaged) {
    const { reason } = opened;
    if (config.routes.some(({ write }) => write.policy === 'behind')) throw refused(reason, MAY_HOLD_WRITES);
    const aside = movedAside(path, clock, reason);
    log.error({ event: 'state-damaged', reason, aside }, 'the state is damaged: a new one takes its place');
    opened = await openState(path, RESERVE_BYTES);
  }
  if (opened.kind === 'failed') throw refused(opened.reason);
  for (const line of opened.report) log.info({ event: 'state', report: line });
  return opened.state;
}

/** Opens the state of a read-only file system. Rejects with a `StartFailure` if it is damaged. */
export async function openReadOnlyState(path: string): Promise<ReadOnlyState> {
  const damage = await damageOfState(path);
  if (damage !== null) throw refused(damage);
  return new ReadOnlyState(path);
}

function movedAside(path: string, clock: Clock, reason: string): string {
  try {
    return setStateAside(path, clock.nowMs());
  } catch (error) {
    throw refused(reason, `; it can't be moved away: ${(error as Error).message}`);
  }
}

const MAY_HOLD_WRITES =
  '; it may hold writes that were acknowledged: put a copy of state/ and cache/ back, or move state/ away to start without them';

function refused(reason: string, advice = ''): StartFailure {
  return new StartFailure(`the state can't be opened: ${reason}${advice}`);
}
