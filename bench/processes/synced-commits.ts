/** A process: commits of one small record each to an LMDB file, one after another, each awaited until it is synced. */
import { randomBytes } from 'node:crypto';
import { open } from 'lmdb';
import { answerParent } from './child.ts';

/** How many commits. */
export type CommitsQuestion = number;
/** What each took, in milliseconds. */
export type CommitsAnswer = readonly number[];

const RECORD_BYTES = 24;
/** Written over in turn, so that the file does not grow. */
const RECORDS = 1_000;

const database = open<Buffer, Buffer>({
  path: process.argv[2]!,
  encoding: 'binary',
  keyEncoding: 'binary',
  // A commit's promise then means that it was synced.
  overlappingSync: false,
  eventTurnBatching: false,
});

let next = 0;

void answerParent<CommitsQuestion, CommitsAnswer>(async (commits) => {
  const tookMs: number[] = [];
  for (let i = 0; i < commits; i += 1) {
    const startedAt = performance.now();
    await database.put(Buffer.from(String(next++ % RECORDS)), randomBytes(RECORD_BYTES));
    tookMs.push(performance.now() - startedAt);
  }
  return tookMs;
});
