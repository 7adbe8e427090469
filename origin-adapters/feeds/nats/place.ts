/**
 * A place in a JetStream stream and whether the stream still holds everything after it. Written `SEQUENCE@CREATED`: a
 * stream made anew under its name begins at 1 again, and only the time of its creation tells it from the old one.
 */
export interface Place {
  readonly sequence: number;
  readonly created: string;
}

export interface StreamState {
  readonly created: string;
  /** Of the first message that is left; of the next one to come where there is none. */
  readonly firstSequence: number;
  readonly lastSequence: number;
}

export function formatPlace({ sequence, created }: Place): string {
  return `${sequence}@${created}`;
}

/** null where the text is none of ours. */
export function parsePlace(position: string): Place | null {
  const match = /^(\d+)@(\S+)$/.exec(position);
  return match === null ? null : { sequence: Number(match[1]), created: match[2]! };
}

export function headOf({ created, lastSequence }: StreamState): Place {
  return { sequence: lastSequence, created };
}

/**
 * Why it can't be proved that nothing after the place is missing; null: nothing is missing at its beginning. The server
 * would begin at the nearest message that it has, in silence.
 */
export function gapReason(place: Place, state: StreamState): string | null {
  if (place.created !== state.created) return 'the stream was recreated';
  if (state.lastSequence < place.sequence) return 'the stream went back to an older state';
  if (state.firstSequence > place.sequence + 1)
    return goneReason(place.sequence + 1, state.firstSequence - 1);
  return null;
}

/** Messages that the stream lost before they were read. */
export function goneReason(first: number, last: number): string {
  const which = first === last ? `message ${first}` : `messages ${first} to ${last}`;
  return `removed before it was read: ${which}`;
}

/** Takes what `formatPlace` wrote and mere sequences; null: of two streams. */
export function comparePlaces(a: string, b: string): number | null {
  const [left, right] = [partsOf(a), partsOf(b)];
  if (left === null || right === null) return null;
  if (left.created !== '' && right.created !== '' && left.created !== right.created) return null;
  if (left.sequence === right.sequence) return 0;
  return left.sequence < right.sequence ? -1 : 1;
}

function partsOf(position: string): { readonly sequence: bigint; readonly created: string } | null {
  const match = /^(\d+)(?:@(\S+))?$/.exec(position);
  return match === null ? null : { sequence: BigInt(match[1]!), created: match[2] ?? '' };
}
