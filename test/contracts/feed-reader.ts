import type { Feed, FeedEvent, FeedClock, FeedDeps } from '../../origin-adapters/feeds/feed.ts';

/** Reads a feed for a test: collects its events and waits for conditions on them. */
export interface FeedReader {
  readonly events: readonly FeedEvent[];
  /** Resolves with the events so far once `wanted` holds for them; rejects when the feed ends before. */
  until(wanted: (events: readonly FeedEvent[]) => boolean): Promise<readonly FeedEvent[]>;
  /** Stops reading until `resume`. One event may already have been requested. */
  pause(): void;
  resume(): void;
  /** Resolves when the feed has ended, with or without `stop`. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

export function readFeed(feed: Feed, after: string | null): FeedReader {
  const events: FeedEvent[] = [];
  const abort = new AbortController();
  let checks: (() => void)[] = [];
  let hasEnded = false;
  let held: Promise<void> | null = null;
  let release: (() => void) | null = null;

  function changed(): void {
    const waiting = checks;
    checks = [];
    for (const check of waiting) check();
  }

  async function read(): Promise<void> {
    try {
      for await (const event of feed.open(after, abort.signal)) {
        events.push(event);
        changed();
        if (held !== null) await held;
      }
    } finally {
      hasEnded = true;
      changed();
    }
  }

  const ended = read();
  ended.catch(() => undefined);

  return {
    events,
    ended,
    until: (wanted) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          if (wanted(events)) resolve(events);
          else if (hasEnded) reject(new Error(`the feed ended after ${describeEvents(events)}`));
          else checks.push(check);
        };
        check();
      }),
    pause: () => {
      held = new Promise((resolve) => {
        release = resolve;
      });
    },
    resume: () => {
      held = null;
      release?.();
    },
    stop: async () => {
      held = null;
      release?.();
      abort.abort();
      await ended;
    },
  };
}

/** The real clock, with timers that keep no process alive. */
export const systemFeedClock: FeedClock = {
  monotonicMs: () => performance.now(),
  nowMs: () => Date.now(),
  schedule: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Dependencies of an adapter for tests with real servers. */
export const testFeedDeps: FeedDeps = {
  clock: systemFeedClock,
  log: () => undefined,
  loadLibrary: async (_name, load) => ({ kind: 'loaded', library: await load() }),
};

function describeEvents(events: readonly FeedEvent[]): string {
  return events.length === 0 ? 'nothing' : JSON.stringify(events.slice(-5));
}
