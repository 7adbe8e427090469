/**
 * The mechanisms that coherence rests on, each of which the composition root can leave out so that a test can show
 * that something breaks without it. They are no configuration: `weir serve` always runs with all of them.
 */
export interface Mechanisms {
  /** The fence is asked at every use of an entry, not only when it is stored. */
  readonly floorAtUse: boolean;
  /** A waiter that arrived after an invalidation that the flight does not cover leaves for the next flight. */
  readonly arrivalInFlights: boolean;
  /** A 304 raises the floor of the very entry that was asked about, and of no other. */
  readonly entryIdInNotModified: boolean;
  /** A reader loads the published sequence before it scans, and remembers that number. */
  readonly sequenceBeforeScan: boolean;
  /** The writer raises a bucket's overflow before it overwrites a record. */
  readonly overflowBeforeOverwrite: boolean;
  /** An invalidation is answered after it is synced. */
  readonly durableBeforeAnswer: boolean;
  /** Sequences are handed out of synced blocks only. */
  readonly reservedBlocks: boolean;
  /** Tags are hashed by a random key of the state, not by one that clients could know. */
  readonly tagKey: boolean;
  /** A reader takes its feed's proof before it asks the fence. */
  readonly proofBeforeFence: boolean;
  /** What was put back from a copy, or is from after the clock's present time, is revalidated. */
  readonly restoredCopies: boolean;
  /** State and cache must belong together. */
  readonly identity: boolean;
}

export const ALL_MECHANISMS: Mechanisms = {
  floorAtUse: true,
  arrivalInFlights: true,
  entryIdInNotModified: true,
  sequenceBeforeScan: true,
  overflowBeforeOverwrite: true,
  durableBeforeAnswer: true,
  reservedBlocks: true,
  tagKey: true,
  proofBeforeFence: true,
  restoredCopies: true,
  identity: true,
};
