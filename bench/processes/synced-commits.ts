/**
 * A process that commits one small record to an LMDB file and invalidates one tag in its own fence, in turns, one at a
 * time. It waits for each until it is synced.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { open } from 'lmdb';
import { systemClock } from '../../proxy/threads/clock.ts';
import { Fence } from '../../proxy/fence/fence.ts';
import { openState } from '../../proxy/state/state-store.ts';
import { answerParent } from './child.ts';

/** The number of commits, and of invalidations. */
export type CommitsQuestion = number;
/** The durations in milliseconds. */
export interface CommitsAnswer {
  readonly commitsMs: readonly number[];
  readonly invalidationsMs: readonly number[];
}

const RECORD_BYTES = 24;
/** The records that are overwritten in turn, so that the file does not grow. */
const RECORDS = 1_000;

const folder = process.argv[2]!;
const database = open<Buffer, Buffer>({
  path: join(folder, 'bare'),
  encoding: 'binary',
  keyEncoding: 'binary',
  // With these options a commit's promise resolves when the commit is synced.
  overlappingSync: false,
  eventTurnBatching: false,
});
const opened = await openState(folder, 0);
if (opened.kind === 'failed') throw new Error(opened.reason);
const fence = await Fence.open(RECORDS, { state: opened.state, clock: systemClock });

let next = 0;

void answerParent<CommitsQuestion, CommitsAnswer>(async (count) => {
  const commitsMs: number[] = [];
  const invalidationsMs: number[] = [];
  for (let i = 0; i < count; i += 1) {
    next += 1;
    const key = String(next % RECORDS);
    commitsMs.push(await timed(() => database.put(Buffer.from(key), randomBytes(RECORD_BYTES))));
    invalidationsMs.push(await timed(() => fence.invalidate({ tags: [`tag:${key}`], mode: 'hard' })));
  }
  return { commitsMs, invalidationsMs };
});

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}
