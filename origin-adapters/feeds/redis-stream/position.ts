import { createHash } from 'node:crypto';

/** An entry in Redis' RESP2 reply, with texts as bytes. */
export interface StreamEntry {
  readonly id: string;
  /** Names and values in turn. */
  readonly fields: readonly Buffer[];
}

/**
 * A position in a Redis stream, and whether the stream still holds everything after it. Written as
 * `ID/ORDINAL/DIGEST`. Ids give the order. The ordinal is the number of entries ever added up to there
 * (`entries-added`). The digest of the entry's content serves to recognise the stream.
 */
export interface RedisPosition {
  readonly id: string;
  readonly ordinal: number;
  /** Absent: there was no entry at this position. */
  readonly digest?: string;
}

/** The state from `XINFO STREAM` (Redis 7). */
export interface RedisStreamState {
  readonly lastId: string;
  readonly added: number;
  readonly length: number;
  /** The id of the first remaining entry; unused if there is none. */
  readonly firstId: string;
  /** The highest id removed by XDEL; trimming does not count. */
  readonly maxDeletedId: string;
  /** Null: there is none. */
  readonly lastEntry: StreamEntry | null;
}

export function formatPosition({ id, ordinal, digest }: RedisPosition): string {
  return digest === undefined ? `${id}/${ordinal}` : `${id}/${ordinal}/${digest}`;
}

/** The position after that entry. */
export function positionAfter(entry: StreamEntry, ordinal: number): RedisPosition {
  return { id: entry.id, ordinal, digest: digestOf(entry) };
}

function digestOf({ fields }: StreamEntry): string {
  const hash = createHash('sha256');
  for (const field of fields) hash.update(`${field.length}:`).update(field);
  return hash.digest('base64url').slice(0, DIGEST_LENGTH);
}

const DIGEST_LENGTH = 22;

/** Null: the text is not a position of this feed. */
export function parsePosition(text: string): RedisPosition | null {
  const match = /^(\d+-\d+)\/(\d+)(?:\/([\w-]+))?$/.exec(text);
  if (match === null) return null;
  const position = { id: match[1]!, ordinal: Number(match[2]) };
  return match[3] === undefined ? position : { ...position, digest: match[3] };
}

export function headOf({ lastId, added, lastEntry }: RedisStreamState): RedisPosition {
  return lastEntry?.id === lastId ? positionAfter(lastEntry, added) : { id: lastId, ordinal: added };
}

/**
 * Why it can't be proved that the stream is the one of the position; null: it is. Ids and ordinals occur again if a
 * stream is recreated, or restored and written on. So the entry at the position (`own`; null: it does not exist) must
 * be the same. A stream that never had an entry has no such proof; everything in it comes after the position.
 */
export function decideSameStream(
  position: RedisPosition,
  own: StreamEntry | null,
  state: RedisStreamState,
): string | null {
  if (position.digest === undefined) {
    const isUnchanged = state.lastId === position.id && state.added === position.ordinal;
    return isUnchanged || position.ordinal === 0
      ? null
      : 'no entry is known by which the stream can be recognised';
  }
  if (own === null)
    return 'the last entry read is gone: it was trimmed or deleted, or the stream is another one';
  if (digestOf(own) === position.digest) return null;
  return 'the last entry read is another one: the stream was recreated, or restored to an older state';
}

/** Why entries after the position may be missing; null: none is. */
export function gapReason(position: RedisPosition, state: RedisStreamState): string | null {
  if (compareIds(state.lastId, position.id) < 0 || state.added < position.ordinal) {
    return 'the stream was recreated, or went back to an older state';
  }
  if (compareIds(state.maxDeletedId, position.id) > 0) return 'entries were deleted before they were read';
  if (state.length > 0 && compareIds(state.firstId, position.id) <= 0) return null;
  const missing = state.added - state.length - position.ordinal;
  if (missing > 0) return `${missing} entries were trimmed before they were read`;
  return missing < 0 ? recreated : null;
}

/** Like `gapReason`, after all remaining entries were read: then the counts must be equal. */
export function gapReasonAtEnd(position: RedisPosition, state: RedisStreamState): string | null {
  return position.ordinal === state.added ? null : recreated;
}

const recreated = 'the stream does not hold as many entries as it must: it was recreated or changed';

/** Compares ids of the form `ms-sequence`, with 64 bits in each part. */
export function compareIds(a: string, b: string): number {
  const [leftMs, leftSequence] = partsOf(a);
  const [rightMs, rightSequence] = partsOf(b);
  return compareNumbers(leftMs, rightMs) || compareNumbers(leftSequence, rightSequence);
}

function partsOf(id: string): [bigint, bigint] {
  const [ms = '0', sequence = '0'] = id.split('-');
  return [BigInt(ms), BigInt(sequence)];
}

function compareNumbers(a: bigint, b: bigint): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
