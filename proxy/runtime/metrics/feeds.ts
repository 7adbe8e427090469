import { FEED_STATES } from '../../feeds/sink.ts';
import { secondsOf } from '../../threads/clock.ts';
import type { WeirStats } from '../stats.ts';
import { counter, gauge, histogramSamples, type MetricDefinition, type Sample } from './definition.ts';

export const FEED_METRICS: readonly MetricDefinition[] = [
  gauge('weir_feed_live', '1: proved to be at its head within max-silence', ({ feeds }) =>
    feeds.map(({ id, state }) => ({ value: Number(state === 'live'), labels: { feed: id } })),
  ),
  gauge('weir_feed_state', "1 for the feed's state: live, catching-up or lost", ({ feeds }) =>
    feeds.flatMap(({ id, state }) =>
      FEED_STATES.map((each) => ({ value: Number(each === state), labels: { feed: id, state: each } })),
    ),
  ),
  {
    name: 'weir_feed_delay_seconds',
    type: 'histogram',
    help: 'Time from the commit of a change (or its receipt) until it was in force and durable',
    samples: ({ stats }) =>
      stats.feeds.flatMap(({ id, delays }) =>
        histogramSamples('weir_feed_delay_seconds', { feed: id }, delays),
      ),
  },
  gauge(
    'weir_feed_silence_seconds',
    'Seconds since the last proof that the feed is at its head; absent: never',
    eachFeed(({ silenceMs }) => (Number.isFinite(silenceMs) ? secondsOf(silenceMs) : null)),
  ),
  gauge(
    'weir_feed_behind',
    "Events that wait at the feed's server, if the feed reports them",
    eachFeed(({ behind }) => behind),
  ),
  counter(
    'weir_feed_changes_total',
    'Changes applied',
    eachFeed(({ changes }) => changes),
  ),
  counter(
    'weir_feed_invalidations_total',
    'Invalidations by the feed',
    eachFeed(({ invalidations }) => invalidations),
  ),
  counter(
    'weir_feed_gaps_total',
    'Places where something may have been missed',
    eachFeed(({ gaps }) => gaps),
  ),
  counter(
    'weir_feed_unmapped_total',
    'Changes that no entry of the map matched',
    eachFeed(({ unmapped }) => unmapped),
  ),
  counter(
    'weir_feed_unintelligible_total',
    'Messages that could not be understood',
    eachFeed(({ unintelligible }) => unintelligible),
  ),
  counter(
    'weir_feed_incomplete_total',
    'Transactions that lack a value that a template needs, or name more than 100,000 tags',
    eachFeed(({ incomplete }) => incomplete),
  ),
  counter(
    'weir_feed_failures_total',
    'Connections refused or lost',
    eachFeed(({ failures }) => failures),
  ),
];

/** `value` returns null for a feed that does not know it. */
function eachFeed(value: (feed: WeirStats['feeds'][number]) => number | null) {
  return ({ feeds }: WeirStats): Sample[] =>
    feeds.flatMap((feed) => {
      const read = value(feed);
      return read === null ? [] : [{ value: read, labels: { feed: feed.id } }];
    });
}
