import { describe, expect, it } from 'vitest';
import {
  createFlightClaims,
  flightClaimsBuffer,
  forgetFlightClaims,
} from '../../proxy/fetch/flight-claims.ts';
import { KeyedHash } from '../../proxy/threads/keyed-hash.ts';

const HASH = new KeyedHash(Uint32Array.of(1, 2, 3, 4));

function workers(count: number) {
  const buffer = flightClaimsBuffer();
  const claims = Array.from({ length: count }, (_, index) => createFlightClaims(buffer, index, HASH));
  return { buffer, claims, of: (index: number) => claims[index]! };
}

describe('the flights of a key', () => {
  it('run in the worker that claims them first, until the last one is over', () => {
    const { of } = workers(2);
    expect(of(1).claim('a')).toBe('new');
    expect(of(0).claim('a')).toBe(1);
    expect(of(1).claim('a')).toBe('own');

    of(1).release('a');
    expect(of(0).claim('a')).toBe(1);
    of(1).release('a');

    expect(of(0).claim('a')).toBe('new');
    expect(of(1).claim('a')).toBe(0);
  });

  it('are claimed together with those of keys that share the slot', () => {
    const { of } = workers(2);
    const slots = new Map<number, string>();
    let pair: readonly [string, string] | null = null;
    for (let i = 0; pair === null; i += 1) {
      const slot = HASH.hash(`key ${i}`) % 65_536;
      const other = slots.get(slot);
      if (other !== undefined) pair = [other, `key ${i}`];
      slots.set(slot, `key ${i}`);
    }
    const [a, b] = pair;
    expect(of(0).claim(a)).toBe('new');
    expect(of(1).claim(b)).toBe(0);
    expect(of(0).claim(b)).toBe('own');

    of(0).release(a);
    expect(of(1).claim(a)).toBe(0);
    of(0).release(b);
    expect(of(1).claim(b)).toBe('new');
  });

  it('are free when the worker that had claimed them has died', () => {
    const { buffer, of } = workers(3);
    for (let i = 0; i < 100; i += 1) {
      expect(of(0).claim(`key ${i}`)).not.toBe(1);
      of(1).claim(`other ${i}`);
    }
    const byOther = Array.from({ length: 100 }, (_, i) => of(2).claim(`other ${i}`));

    forgetFlightClaims(buffer, 0);

    for (let i = 0; i < 100; i += 1) {
      if (byOther[i] === 1) expect(of(2).claim(`other ${i}`)).toBe(1);
      expect(of(2).claim(`key ${i}`)).not.toBe(0);
    }
  });
});
