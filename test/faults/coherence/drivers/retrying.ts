import { setTimeout as delay } from 'node:timers/promises';

const TRIES = 400;
const PAUSE_MS = 50;
/** A server that was paused may never answer an earlier request. */
const TRY_MS = 5_000;

/** Repeats the work until it succeeds, as an application would. Rejects after `TRIES` attempts with the last error. */
export async function untilDone<T>(work: () => Promise<T>): Promise<T> {
  for (let i = 1; ; i += 1) {
    try {
      return await Promise.race([work(), delay(TRY_MS).then(() => Promise.reject(new Error('no answer')))]);
    } catch (error) {
      if (i === TRIES) throw error;
      await delay(PAUSE_MS);
    }
  }
}
