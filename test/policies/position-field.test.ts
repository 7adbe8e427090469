import { describe, expect, it } from 'vitest';
import { formatPosition, MAX_POSITION_BYTES, parsePositions } from '../../policies/position-field.ts';

describe('positions in fields', () => {
  it('are read as lists of feed=position over several lines', () => {
    expect(parsePositions(['a=1, b=x:1.2/y:3=4', '', 'c=0/16B3748'])).toEqual([
      { feed: 'a', position: '1' },
      { feed: 'b', position: 'x:1.2/y:3=4' },
      { feed: 'c', position: '0/16B3748' },
    ]);
  });

  it.each(['a', '=1', 'a=', 'a=1 b=2'])('are malformed where a member is: %s', (line) => {
    expect(parsePositions([line])).toBeNull();
  });

  it("are malformed where one is longer than any feed's", () => {
    const longest = '9'.repeat(MAX_POSITION_BYTES);
    expect(parsePositions([`a=${longest}`])).toEqual([{ feed: 'a', position: longest }]);
    expect(parsePositions([`a=${longest}9`])).toBeNull();
  });

  it.each(['with space', 'a,b', 'line\nbreak', 'ü', ''])(
    "are not sent where a field can't contain them",
    (position) => {
      expect(formatPosition({ feed: 'f', position })).toBeNull();
    },
  );
});
