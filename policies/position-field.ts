/**
 * `Weir-Position: feed=position` says how current an answer is, in a feed's own terms; `Weir-Min-Position` says how
 * current it has to be. Of a request only those of known feeds can be judged: `null` where one can't be.
 */
import { trimmed } from './http/fields.ts';

export interface FeedPosition {
  readonly feed: string;
  readonly position: string;
}

export const POSITION_FIELD = 'Weir-Position';
export const MIN_POSITION_FIELD = 'weir-min-position';

/** No feed's position is longer; one that is counts as unknown. */
export const MAX_POSITION_BYTES = 4096;

/** null: it is in no form that a field could carry. */
export function formatPosition({ feed, position }: FeedPosition): string | null {
  return /^[\x21-\x2b\x2d-\x7e]+$/.test(position) ? `${feed}=${position}` : null;
}

/** Members are parted by commas, lines count as one list (RFC 9110 §5.3). null: something in it is no `feed=position`. */
export function parsePositions(lines: readonly string[]): FeedPosition[] | null {
  const members = lines.flatMap((line) => line.split(',')).map(trimmed);
  const positions = members.filter((member) => member !== '').map(parsePosition);
  return positions.every((position) => position !== null) ? positions : null;
}

function parsePosition(member: string): FeedPosition | null {
  const equals = member.indexOf('=');
  if (equals < 1 || /[ \t]/.test(member)) return null;
  const position = member.slice(equals + 1);
  if (position === '' || position.length > MAX_POSITION_BYTES) return null;
  return { feed: member.slice(0, equals), position };
}
