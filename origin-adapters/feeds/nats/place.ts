import { createHash } from 'node:crypto';

/**
 * A place in a JetStream stream and whether the stream still holds everything after it. Written
 * `SEQUENCE@CREATED#TIME-DIGEST`: a stream made anew under its name begins at 1 again, and only the time of its creation tells
 * it from the old one; one restored from an older copy has that time, and only the message at the place tells it from the
 * one that was read.
 */
export interface NatsPosition {
  readonly sequence: number;
  readonly created: string;
  /** Of the message at this place, as `markOf` makes it. Absent: there was none when the place was taken. */
  readonly mark?: string;
}

/** What a message is known again by. */
export interface KnownMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  /** When the server took it, in nanoseconds since 1970, as exactly as a number can be. */
  readonly timestampNanos: number;
}

export function markOf({ subject, data, timestampNanos }: KnownMessage): string {
  const hash = createHash('sha256').update(`${subject}\n`).update(data);
  return `${timestampNanos}-${hash.digest('base64url').slice(0, DIGEST_LENGTH)}`;
}

const DIGEST_LENGTH = 22;

export interface NatsStreamState {
  readonly created: string;
  /** Of the first message that is left; of the next one to come where there is none. */
  readonly firstSequence: number;
  readonly lastSequence: number;
}

export function formatPlace({ sequence, created, mark }: NatsPosition): string {
  return mark === undefined ? `${sequence}@${created}` : `${sequence}@${created}#${mark}`;
}

/** null where the text is none of ours. */
export function parsePlace(position: string): NatsPosition | null {
  const match = /^(\d+)@([^\s#]+)(?:#(\S+))?$/.exec(position);
  if (match === null) return null;
  const place = { sequence: Number(match[1]), created: match[2]! };
  return match[3] === undefined ? place : { ...place, mark: match[3] };
}

/** `last`: the message at the head; null: it is not there. */
export function headOf({ created, lastSequence }: NatsStreamState, last: KnownMessage | null): NatsPosition {
  const place = { sequence: lastSequence, created };
  return last === null ? place : { ...place, mark: markOf(last) };
}

/**
 * Why it can't be proved that the stream has the history that the place was taken from; null: it has. One that was restored
 * from an older copy has other messages under the numbers that were read, once it is written on: `own`, the message at the
 * place, must be there and be the same (null: it is not there). Where no message was read yet, all that the stream holds
 * comes after.
 */
export function decideSameHistory(
  place: NatsPosition,
  own: KnownMessage | null,
  state: NatsStreamState,
): string | null {
  if (place.mark === undefined) {
    const isUnchanged = state.lastSequence === place.sequence;
    return isUnchanged || place.sequence === 0
      ? null
      : 'no message is known by which the stream could be known again';
  }
  if (own === null) return 'the last message read is gone: it was removed, or the stream has another history';
  if (markOf(own) === place.mark) return null;
  return 'the last message read is another one: the stream was restored to an older state';
}

/**
 * Why it can't be proved that nothing after the place is missing; null: nothing is missing at its beginning. The server
 * would begin at the nearest message that it has, in silence.
 */
export function gapReason(place: NatsPosition, state: NatsStreamState): string | null {
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
  const match = /^(\d+)(?:@([^\s#]+)(?:#\S+)?)?$/.exec(position);
  return match === null ? null : { sequence: BigInt(match[1]!), created: match[2] ?? '' };
}
