import type { FeedClock } from './feed.ts';

/** The result did not arrive in time. */
export class Overdue extends Error {}

/**
 * Settles as `promise` does, or rejects with `Overdue` after `limitMs`. `what`: the start of the error message,
 * which ends with the time. The request itself continues: its connection has to be closed.
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
