/**
 * `Weir-Position: feed=position` states how current a response is, in the feed's own terms. `Weir-Min-Position`
 * states how current it has to be; positions of unknown feeds can't be judged.
 */
import { trimmed } from './http/fields.ts';

export interface FeedPosition {
  readonly feed: string;
  readonly position: string;
}

export const POSITION_FIELD = 'Weir-Position';
export const MIN_POSITION_FIELD = 'weir-min-position';

/** Longer positions count as unknown. */
export const MAX_POSITION_BYTES = 4096;

/** Null where the position can't be written in a field. */
export function formatPosition({ feed, position }: FeedPosition): string | null {
  return /^[\x21-\x2b\x2d-\x7e]+$/.test(position) ? `${feed}=${position}` : null;
}

/**
 * RFC 9110 §5.3: members are separated by commas, and lines are combined. Null where a member is not `feed=position`.
 */
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
