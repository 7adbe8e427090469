/**
 * The versions that changes carry and responses attest: numbers that rise along a feed, in the origin's own count. An
 * origin that does not know the feed's positions attests by them how current its responses are.
 */
import type { Change } from './change.ts';
import { textsAt } from './mapping.ts';

/** The version that a response has to attest to include everything that the feed has reported. */
export interface VersionMark {
  /** The highest version since the feed's last gap; null: none was reported. */
  readonly highest: bigint | null;
  /** False: a change without a version, or a gap, came after the highest one. */
  readonly isKnown: boolean;
}

/** The mark of a feed of which nothing is known. */
export const NO_MARK: VersionMark = { highest: null, isKnown: false };

/** A decimal number, or a Postgres LSN such as `16/B374D848` as a number; null: neither. */
export function readVersion(text: string): bigint | null {
  if (/^\d{1,39}$/.test(text)) return BigInt(text);
  const lsn = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  return lsn === null ? null : (BigInt(`0x${lsn[1]!}`) << 32n) + BigInt(`0x${lsn[2]!}`);
}

/** The highest version at that dotted path of the change; null: there is none, or one that is not a version. */
export function versionOf(change: Change, path: string): bigint | null {
  const versions = textsAt(change, path).map(readVersion);
  return versions.includes(null) ? null : highestOf(versions);
}

/** The highest of several; null counts as none. */
export function highestOf(versions: readonly (bigint | null)[]): bigint | null {
  return versions.reduce((most, version) => {
    if (most === null || version === null) return most ?? version;
    return version > most ? version : most;
  }, null);
}

/** The mark after a notification. One without tags changes nothing. */
export function markAfter(
  mark: VersionMark,
  notification: {
    readonly as: 'change' | 'gap' | 'scope';
    readonly tags: readonly string[];
    readonly version: bigint | null;
  },
): VersionMark {
  if (notification.as === 'gap') return NO_MARK;
  if (notification.tags.length === 0) return mark;
  return { highest: highestOf([mark.highest, notification.version]), isKnown: notification.version !== null };
}
