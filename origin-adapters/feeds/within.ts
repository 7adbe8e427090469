import type { FeedClock } from './feed.ts';

/** What was waited for did not come in time. */
export class Overdue extends Error {}

/**
 * Settles as `promise` does, or rejects with `Overdue` after that time. `what`: what did not happen, as a sentence that
 * the time ends. What was asked goes on: the connection that it was asked on is to be closed.
 */
export function within<T>(
  promise: Promise<T>,
  limitMs: number,
  clock: Pick<FeedClock, 'schedule'>,
  what: string,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.schedule(limitMs, () =>
      reject(new Overdue(`${what} within ${Math.round(limitMs)} ms`)),
    );
    promise.then(resolve, reject).finally(cancel);
  });
}
