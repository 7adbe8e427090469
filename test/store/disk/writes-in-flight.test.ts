import { describe, expect, it } from 'vitest';
import { createWritesInFlight, writesInFlightBuffer } from '../../../proxy/store/disk/writes-in-flight.ts';
import { HASH_KEY_WORDS, KeyedHash } from '../../../proxy/threads/keyed-hash.ts';

const HASH = new KeyedHash(new Uint32Array(HASH_KEY_WORDS));

describe('an entry on its way to the disk', () => {
  it('is announced to every other worker until it has arrived', () => {
    const buffer = writesInFlightBuffer();
    const [first, last] = [createWritesInFlight(buffer, 0, HASH), createWritesInFlight(buffer, 255, HASH)];
    expect(first.holderOf('a')).toBeNull();
    const arrived = last.sent('a');
    expect(first.holderOf('a')).toBe(255);
    expect(first.holderOf('b')).toBeNull();
    expect(last.holderOf('a')).toBeNull();
    arrived();
    expect(first.holderOf('a')).toBeNull();
  });

  it('stays announced when an earlier write of its key has arrived', () => {
    const buffer = writesInFlightBuffer();
    const [first, second] = [createWritesInFlight(buffer, 0, HASH), createWritesInFlight(buffer, 1, HASH)];
    const earlier = second.sent('a');
    const later = second.sent('a');
    earlier();
    expect(first.holderOf('a')).toBe(1);
    const others = first.sent('a');
    later();
    expect(second.holderOf('a')).toBe(0);
    others();
    expect(second.holderOf('a')).toBeNull();
  });
});
