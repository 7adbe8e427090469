import { createHash } from 'node:crypto';

/**
 * A position in a JetStream stream, and whether the stream still holds everything after it. Written as
 * `SEQUENCE@CREATED#TIME-DIGEST`. A recreated stream begins at 1 again and differs only in its time of creation. A
 * stream restored from an older copy has the same time of creation and differs only in the message at the position.
 */
export interface NatsPosition {
  readonly sequence: number;
  readonly created: string;
  /** The mark of the message at this position, from `markOf`; absent: there was no message. */
  readonly mark?: string;
}

/** The properties by which a message is recognised. */
export interface KnownMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  /** When the server received the message, in nanoseconds since 1970, rounded to a double. */
  readonly timestampNanos: number;
}

export function markOf({ subject, data, timestampNanos }: KnownMessage): string {
  const hash = createHash('sha256').update(`${subject}\n`).update(data);
  return `${timestampNanos}-${hash.digest('base64url').slice(0, DIGEST_LENGTH)}`;
}

const DIGEST_LENGTH = 22;

export interface NatsStreamState {
  readonly created: string;
  /** The sequence of the first remaining message, or of the next one if there is none. */
  readonly firstSequence: number;
  readonly lastSequence: number;
}

export function formatPosition({ sequence, created, mark }: NatsPosition): string {
  return mark === undefined ? `${sequence}@${created}` : `${sequence}@${created}#${mark}`;
}

/** Null: the text is not a position of this feed. */
export function parsePosition(text: string): NatsPosition | null {
  const match = /^(\d+)@([^\s#]+)(?:#(\S+))?$/.exec(text);
  if (match === null) return null;
  const position = { sequence: Number(match[1]), created: match[2]! };
  return match[3] === undefined ? position : { ...position, mark: match[3] };
}

/** `last`: the message at the head; null: it does not exist. */
export function headOf({ created, lastSequence }: NatsStreamState, last: KnownMessage | null): NatsPosition {
  const position = { sequence: lastSequence, created };
  return last === null ? position : { ...position, mark: markOf(last) };
}

/**
 * Why it can't be proved that the stream has the history of the position; null: it has. After a restore from an older
 * copy, other messages get the sequences that were read already. So the message at the position (`own`; null: it does
 * not exist) must be the same. If no message was read yet, everything in the stream comes after the position.
 */
export function decideSameHistory(
  position: NatsPosition,
  own: KnownMessage | null,
  state: NatsStreamState,
): string | null {
  if (position.mark === undefined) {
    const isUnchanged = state.lastSequence === position.sequence;
    return isUnchanged || position.sequence === 0
      ? null
      : 'no message is known by which the stream can be recognised';
  }
  if (own === null) return 'the last message read is gone: it was removed, or the stream has another history';
  if (markOf(own) === position.mark) return null;
  return 'the last message read is another one: the stream was restored to an older state';
}

/**
 * Why messages after the position may be missing; null: none is missing at its beginning. The server itself would
 * begin at the nearest message without a report.
 */
export function gapReason(position: NatsPosition, state: NatsStreamState): string | null {
  if (position.created !== state.created) return 'the stream was recreated';
  if (state.lastSequence < position.sequence) return 'the stream went back to an older state';
  if (state.firstSequence > position.sequence + 1)
    return goneReason(position.sequence + 1, state.firstSequence - 1);
  return null;
}

/** The reason for messages that were removed before they were read. */
export function goneReason(first: number, last: number): string {
  const which = first === last ? `message ${first}` : `messages ${first} to ${last}`;
  return `removed before it was read: ${which}`;
}

/** Takes positions and plain sequences; null: they are of two streams. */
export function comparePositions(a: string, b: string): number | null {
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
