/**
 * The versions that changes tell and answers attest: numbers that rise along a feed, in its origin's own count. They let
 * an origin that does not know the feed's positions say how current its answers are.
 */
import type { Change } from './change.ts';
import { textsAt } from './mapping.ts';

/** What an answer has to show: everything that the feed has told. */
export interface VersionMark {
  /** Of the versions told since the feed last had a gap; null: none was told. */
  readonly highest: bigint | null;
  /** False: something was told after it, or missed, of which no version is known. */
  readonly isKnown: boolean;
}

/** Of a feed of which nothing is known. */
export const NO_MARK: VersionMark = { highest: null, isKnown: false };

/** A decimal number, or a Postgres LSN such as `16/B374D848` with the number that it stands for; null: neither. */
export function readVersion(text: string): bigint | null {
  if (/^\d{1,39}$/.test(text)) return BigInt(text);
  const lsn = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  return lsn === null ? null : (BigInt(`0x${lsn[1]!}`) << 32n) + BigInt(`0x${lsn[2]!}`);
}

/** The highest that the change has at that dotted path; null: none, or something that is no version. */
export function versionOf(change: Change, path: string): bigint | null {
  const versions = textsAt(change, path).map(readVersion);
  return versions.includes(null) ? null : highestOf(versions);
}

/** Of several, where null is none. */
export function highestOf(versions: readonly (bigint | null)[]): bigint | null {
  return versions.reduce((most, version) => {
    if (most === null || version === null) return most ?? version;
    return version > most ? version : most;
  }, null);
}

/** The mark after something was told. What invalidates nothing moves nothing. */
export function markAfter(
  mark: VersionMark,
  told: {
    readonly as: 'change' | 'gap' | 'scope';
    readonly tags: readonly string[];
    readonly version: bigint | null;
  },
): VersionMark {
  if (told.as === 'gap') return NO_MARK;
  if (told.tags.length === 0) return mark;
  return { highest: highestOf([mark.highest, told.version]), isKnown: told.version !== null };
}
