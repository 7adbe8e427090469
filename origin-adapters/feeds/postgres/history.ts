import type { Commit } from './position.ts';

/** What the stream shows next. */
export type Shown =
  | { readonly kind: 'commit'; readonly commit: Commit }
  /** Every commit before this place was shown. */
  | { readonly kind: 'reached'; readonly lsn: bigint };

/** The log that a position was taken from. */
export interface KnownHistory {
  /** The last one that was seen. */
  readonly lastCommit: Commit;
  /** Up to here it has none behind that. */
  readonly lsn: bigint;
  /** The stream has shown the commit again. */
  readonly isProved: boolean;
}

/**
 * Whether the stream is of the log that we know, which it begins with the last commit that we saw. A log that was restored
 * to an older state and written on has another commit in that place, or none, or one behind it where none was: the same
 * number, the same ends and the same microsecond do not come twice. `proved`: it is, by what is shown here; `same`: it was
 * proved before; `unknown`: not yet. `shown`: null, where it is nothing of that kind.
 */
export function decideHistory(
  { lastCommit, lsn, isProved }: KnownHistory,
  shown: Shown | null,
): 'same' | 'proved' | 'other' | 'unknown' {
  if (isProved) return shown?.kind === 'commit' && shown.commit.endLsn <= lsn ? 'other' : 'same';
  if (shown === null) return 'unknown';
  if (shown.kind === 'reached') return shown.lsn >= lastCommit.endLsn ? 'other' : 'unknown';
  return areSame(shown.commit, lastCommit) ? 'proved' : 'other';
}

function areSame(a: Commit, b: Commit): boolean {
  return a.beginLsn === b.beginLsn && a.endLsn === b.endLsn && a.xid === b.xid && a.atMicros === b.atMicros;
}

/**
 * Whether a commit of our own has to be made, so that the slot need not keep more than `maxKeptBytes` of the log, up to
 * its end, for the sake of the last commit that was seen. One that was left and was not seen yet is waited for.
 */
export function decideMark(
  last: { readonly commit: Commit; readonly bytes: number } | null,
  log: { readonly endLsn: bigint; readonly markLsn: bigint | null },
  maxKeptBytes: number,
): boolean {
  const isAwaited = log.markLsn !== null && (last === null || last.commit.endLsn <= log.markLsn);
  if (isAwaited) return false;
  if (last === null) return true;
  return log.endLsn - last.commit.beginLsn + BigInt(last.bytes) > BigInt(maxKeptBytes);
}
