import { describe, expect, it } from 'vitest';
import { RedisFault } from '../../origin-adapters/feeds/redis-stream/fault.ts';
import { arrayOf, readEntries, readStreamState } from '../../origin-adapters/feeds/redis-stream/replies.ts';
import {
  compareIds,
  formatPosition,
  gapReason,
  gapReasonAtEnd,
  parsePosition,
  positionAfter,
  type RedisStreamState,
} from '../../origin-adapters/feeds/redis-stream/position.ts';

describe('a position in a Redis stream', () => {
  const whole: RedisStreamState = {
    lastId: '9-0',
    added: 9,
    length: 9,
    firstId: '1-0',
    maxDeletedId: '0-0',
    lastEntry: null,
  };
  const place = { id: '4-0', ordinal: 4 };

  it('is written and read', () => {
    expect(parsePosition(formatPosition(place))).toEqual(place);
    const known = positionAfter({ id: '4-0', fields: [Buffer.from('a'), Buffer.from('b')] }, 4);
    expect(parsePosition(formatPosition(known))).toEqual(known);
    expect(positionAfter({ id: '4-0', fields: [Buffer.from('ab'), Buffer.from('')] }, 4)).not.toEqual(known);
    expect(parsePosition('0/16B3748')).toBeNull();
    expect(parsePosition('4-0')).toBeNull();
  });

  it('compares ids of 64 bits as numbers', () => {
    expect(compareIds('9-0', '10-0')).toBeLessThan(0);
    expect(compareIds('10-9', '10-10')).toBeLessThan(0);
    expect(compareIds('18446744073709551614-0', '18446744073709551615-0')).toBeLessThan(0);
    expect(compareIds('7-7', '7-7')).toBe(0);
  });

  it('misses nothing while the stream holds its entry or an older one', () => {
    expect(gapReason(place, whole)).toBeNull();
    expect(gapReason(place, { ...whole, firstId: '4-0', length: 6 })).toBeNull();
  });

  it('misses nothing when exactly the entries that were read are gone', () => {
    expect(gapReason(place, { ...whole, firstId: '5-0', length: 5 })).toBeNull();
    expect(gapReason({ id: '9-0', ordinal: 9 }, { ...whole, firstId: '0-0', length: 0 })).toBeNull();
  });

  it('misses entries that were trimmed before they were read', () => {
    expect(gapReason(place, { ...whole, firstId: '8-0', length: 2 })).toContain('3 entries were trimmed');
    expect(gapReason(place, { ...whole, firstId: '0-0', length: 0 })).toContain('5 entries were trimmed');
  });

  it('misses entries that were deleted after it, and none that were deleted before it', () => {
    expect(gapReason(place, { ...whole, maxDeletedId: '5-0', length: 8 })).toContain('deleted');
    expect(gapReason(place, { ...whole, maxDeletedId: '4-0', length: 8 })).toBeNull();
  });

  it('does not belong to a stream that ends before it', () => {
    expect(gapReason(place, { ...whole, lastId: '3-0' })).toContain('recreated');
    expect(gapReason(place, { ...whole, added: 3 })).toContain('recreated');
  });

  it('does not belong to a stream with more or fewer entries than expected', () => {
    expect(gapReason(place, { ...whole, firstId: '5-0', length: 7 })).toContain('recreated');
    expect(gapReasonAtEnd({ id: '9-0', ordinal: 8 }, whole)).toContain('recreated');
    expect(gapReasonAtEnd({ id: '9-0', ordinal: 9 }, whole)).toBeNull();
  });
});

describe("Redis' replies", () => {
  it('are refused from a server that does not count added entries', () => {
    const older = ['length', 1, 'last-generated-id', '1-0'];
    expect(() => readStreamState(older)).toThrow('older than Redis 7');
  });

  it('are refused where they do not answer the command', () => {
    expect(() => readStreamState('OK')).toThrow(RedisFault);
    expect(() => readEntries([['1-0', 'text']])).toThrow(RedisFault);
    expect(() => arrayOf([1, new Error('WRONGTYPE no stream')])).toThrow('WRONGTYPE');
  });
});
