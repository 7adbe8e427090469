/**
 * The mechanisms that guarantee coherence. The composition root can switch each one off, so that a test shows that the
 * guarantee fails without it. They are not configurable: `weir serve` always runs with all of them.
 */
export interface Mechanisms {
  /** Every use of an entry checks the fence, not only its storing. */
  readonly floorAtUse: boolean;
  /** A waiter that arrived after an invalidation that the flight does not cover leaves for the next flight. */
  readonly arrivalInFlights: boolean;
  /** A 304 raises the floor of the entry that the request named, and of no other. */
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
  /** Entries of a restored copy, or from after the clock's present time, are revalidated. */
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
