import type { Commit } from './position.ts';

/** The information about the log that an item of the stream contains. */
export type Shown =
  | { readonly kind: 'commit'; readonly commit: Commit }
  /** Every commit before this place was shown. */
  | { readonly kind: 'reached'; readonly lsn: bigint };

/** The log that a position was taken from. */
export interface KnownHistory {
  /** The last commit that was seen. */
  readonly lastCommit: Commit;
  /** Up to this place no commit follows the last one. */
  readonly lsn: bigint;
  /** The stream has shown that commit again. */
  readonly isProved: boolean;
}

/**
 * Whether the stream is of the known log, which begins with the last seen commit. A log that was restored to an older
 * state and written on has another commit there, or none, or an additional one: the same transaction id, LSNs and
 * microsecond do not occur twice. `proved`: by what is shown now; `same`: it was proved before; `unknown`: not yet.
 * `shown`: null if the item shows nothing about the log.
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
 * Whether to commit a mark, so that the slot retains at most `maxKeptBytes` of the log between the last seen commit
 * and the end. If a mark was left and is not seen yet, none is added.
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
