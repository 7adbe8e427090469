/**
 * `Weir-Position: feed=position` says how current an answer is, in a feed's own terms; `Weir-Min-Position` says how
 * current it has to be. Of a request only those of known feeds can be judged: `null` where one can't be.
 */
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
  const members = lines.flatMap((line) => line.split(',')).map((member) => member.trim());
  const positions = members
    .filter((member) => member !== '')
    .map((member) => MEMBER.exec(member))
    .map((match) => (match === null ? null : { feed: match[1]!, position: match[2]! }));
  return positions.every((position) => position !== null) ? positions : null;
}

const MEMBER = new RegExp(String.raw`^([^=\s]+)=(\S{1,${MAX_POSITION_BYTES}})$`);
