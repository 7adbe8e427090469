/** The outcome of a request: one word, the same in logs, metrics and tests. Each outcome has a reason. */
export const OUTCOMES = [
  /** A fresh entry; reason: where it came from, `memory`, `disk` or `peer`; `pending`: the content of a waiting write. */
  'hit',
  /** A stale entry, allowed; reason: stale-while-revalidate, max-stale or stale-if-error. */
  'stale',
  /** An entry that the origin confirmed; reason: why it was asked. */
  'revalidated',
  /** Fetched; reason: miss, vary-miss, partial, or why the stored entry could not be used. */
  'miss',
  /** Passed to the origin and back, not stored; reason: why. */
  'pass',
  /** An unsafe request; reason: its write policy. */
  'write',
  /** A protocol switch; reason: the protocol. */
  'tunnel',
  /** A PURGE on the main port. */
  'purge',
  /**
   * Answered by Weir itself; reason: `max-forwards` (OPTIONS or TRACE with Max-Forwards: 0), `options` (OPTIONS *) or
   * `delivery` (to a webhook feed).
   */
  'answered',
  /** Refused by a limit or a rule; reason: which. */
  'refused',
  /** The origin failed; reason: the Proxy-Status error type. */
  'failed',
  /** The client left before the response began; reason: what it waited for. */
  'abandoned',
  'no-route',
  'method-not-allowed',
] as const;

export type Outcome = (typeof OUTCOMES)[number];
