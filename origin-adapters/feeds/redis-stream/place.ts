/**
 * A place in a Redis stream and whether the stream still holds everything after it. Written `ID/ORDINAL`, the ordinal
 * being how many entries had ever been added up to there (`entries-added`): ids tell the order, ordinals the number.
 */
export interface Place {
  readonly id: string;
  readonly ordinal: number;
}

/** What `XINFO STREAM` says (Redis 7). */
export interface StreamState {
  readonly lastId: string;
  readonly added: number;
  readonly length: number;
  /** Of the first entry that is left; meaningless where there is none. */
  readonly firstId: string;
  /** The highest id that XDEL removed; trimming does not count. */
  readonly maxDeletedId: string;
}

export function formatPlace({ id, ordinal }: Place): string {
  return `${id}/${ordinal}`;
}

/** null where the text is none of ours. */
export function parsePlace(position: string): Place | null {
  const match = /^(\d+-\d+)\/(\d+)$/.exec(position);
  return match === null ? null : { id: match[1]!, ordinal: Number(match[2]) };
}

export function headOf(state: StreamState): Place {
  return { id: state.lastId, ordinal: state.added };
}

/** Why it can't be proved that nothing after the place is missing; null: all of it is there. */
export function gapReason(place: Place, state: StreamState): string | null {
  if (compareIds(state.lastId, place.id) < 0 || state.added < place.ordinal) {
    return 'the stream was recreated, or went back to an older state';
  }
  if (compareIds(state.maxDeletedId, place.id) > 0) return 'entries were deleted before they were read';
  if (state.length > 0 && compareIds(state.firstId, place.id) <= 0) return null;
  const missing = state.added - state.length - place.ordinal;
  if (missing > 0) return `${missing} entries were trimmed before they were read`;
  return missing < 0 ? recreated : null;
}

/** As `gapReason`, once everything that is left after the place has been read: then the numbers must be equal. */
export function gapReasonAtEnd(place: Place, state: StreamState): string | null {
  return place.ordinal === state.added ? null : recreated;
}

const recreated = 'the stream does not hold as many entries as it must: it was recreated or changed';

/** Both as `ms-sequence`, of 64 bits each. */
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
