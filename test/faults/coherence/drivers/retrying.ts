import { setTimeout as delay } from 'node:timers/promises';

const TRIES = 400;
const PAUSE_MS = 50;
/** A server that stood still may never answer what it was asked before. */
const TRY_MS = 5_000;

/** As an application must: what could not be told to the feed's server is told again until it is there. */
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
