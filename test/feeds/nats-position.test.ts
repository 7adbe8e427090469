import { describe, expect, it } from 'vitest';
import {
  comparePositions,
  formatPosition,
  gapReason,
  headOf,
  parsePosition,
  type NatsStreamState,
} from '../../origin-adapters/feeds/nats/position.ts';
import { matchesSubject } from '../../origin-adapters/feeds/nats/subject.ts';

describe('a position in a JetStream stream', () => {
  const created = '2026-11-20T23:19:28.1566814Z';
  const state: NatsStreamState = { created, firstSequence: 3, lastSequence: 9 };

  it('is written and read', () => {
    expect(parsePosition(formatPosition({ sequence: 4, created }))).toEqual({ sequence: 4, created });
    const message = { subject: 'a', data: Buffer.from('b'), timestampNanos: 1.795e18 };
    const known = headOf({ created, firstSequence: 1, lastSequence: 4 }, message);
    expect(parsePosition(formatPosition(known))).toEqual(known);
    expect(comparePositions(formatPosition(known), `5@${created}`)).toBeLessThan(0);
    expect(parsePosition('1795216768160-0/3')).toBeNull();
  });

  it('misses nothing from just before the first message up to the last', () => {
    for (const sequence of [2, 3, 9]) expect(gapReason({ sequence, created }, state)).toBeNull();
  });

  it('misses messages that were removed before they were read', () => {
    expect(gapReason({ sequence: 1, created }, state)).toBe('removed before it was read: message 2');
  });

  it('misses nothing in a stream that was emptied after it was read', () => {
    expect(gapReason({ sequence: 9, created }, { ...state, firstSequence: 10 })).toBeNull();
    expect(gapReason({ sequence: 8, created }, { ...state, firstSequence: 10 })).not.toBeNull();
  });

  it('does not belong to a stream that was recreated or ends before it', () => {
    expect(gapReason({ sequence: 5, created: '2026-11-20T23:20:00Z' }, state)).toContain('recreated');
    expect(gapReason({ sequence: 10, created }, state)).toContain('older state');
  });

  it('has no order with positions of another stream', () => {
    expect(comparePositions(`10@${created}`, `9@${created}`)).toBeGreaterThan(0);
    expect(comparePositions('9007199254740993', '9007199254740992')).toBeGreaterThan(0);
    expect(comparePositions(`10@${created}`, '10')).toBe(0);
    expect(comparePositions(`10@${created}`, '9@2026-11-20T23:20:00Z')).toBeNull();
    expect(comparePositions('10', 'ten')).toBeNull();
  });
});

describe('a subject', () => {
  it.each([
    ['shop.products', 'shop.products', true],
    ['shop.products', 'shop.*', true],
    ['shop.products', '>', true],
    ['shop.products.1', 'shop.>', true],
    ['shop.products.1', '*.*.1', true],
    ['shop', 'shop.>', false],
    ['shop.products.1', 'shop.*', false],
    ['shop.products', 'shop.prod', false],
  ])('%s under %s: %s', (subject, pattern, matches) => {
    expect(matchesSubject(subject, pattern)).toBe(matches);
  });
});
