import { describe, expect, it } from 'vitest';
import { decideBeginning, type ObservedTopic } from '../../origin-adapters/feeds/kafka/beginning.ts';
import {
  comparePositions,
  formatPosition,
  parsePosition,
  showPosition,
} from '../../origin-adapters/feeds/kafka/position.ts';
import { fc } from '../support/properties.ts';

describe('positions of Kafka', () => {
  it('are read as they were written, whatever the names of the topics', () => {
    const name = fc.stringMatching(/^[a-zA-Z0-9._-]{1,30}$/);
    const place = fc.record({
      next: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
      epoch: fc.nat().map((n) => n - 1),
    });
    const marked = fc.record({
      next: fc.bigInt({ min: 2n ** 40n, max: 2n ** 63n - 1n }),
      epoch: fc.nat(),
      mark: fc.record({
        offset: fc.bigInt({ min: 0n, max: 2n ** 40n - 1n }),
        digest: fc.stringMatching(/^[\w-]{12}$/),
      }),
    });
    const topic = fc.record({
      identity: fc.option(fc.string({ unit: 'grapheme' }).map(encodeURIComponent), {
        nil: null,
      }),
      partitions: fc.array(fc.oneof(place, marked), { minLength: 1, maxLength: 5 }),
    });
    const topics = fc.uniqueArray(fc.tuple(name, topic), {
      minLength: 1,
      maxLength: 4,
      selector: ([one]) => one,
    });
    fc.assert(
      fc.property(topics, (entries) => {
        const written = formatPosition({ topics: new Map(entries) });
        expect([...parsePosition(written)!.topics]).toEqual(entries);
        expect(comparePositions(showPosition(written), written)).toBe(0);
      }),
    );
  });

  it('are shown as offsets only', () => {
    expect(showPosition('orders~id:3e1/rows~id:12e0m1-e-1_m.5')).toBe('orders:3/rows:12.5');
  });

  it('are compared as vectors of 64-bit numbers', () => {
    expect(comparePositions('rows:9223372036854775806', 'rows:9223372036854775807')).toBe(-1);
    expect(comparePositions('rows:10', 'rows:9')).toBe(1);
    expect(comparePositions('rows:1.5', 'rows:2.5')).toBe(-1);
    expect(comparePositions('rows:1.6', 'rows:2.5')).toBeNull();
    expect(comparePositions('rows:1', 'rows:1.4')).toBe(-1);
    expect(comparePositions('rows:1.0', 'rows:1')).toBe(0);
  });

  it('have no order across topics and identities, nor with malformed ones', () => {
    expect(comparePositions('rows:1', 'orders:1')).toBeNull();
    expect(comparePositions('rows:1', 'rows:1/orders:1')).toBeNull();
    expect(comparePositions('rows~a:1', 'rows~b:1')).toBeNull();
    for (const nonsense of [
      '',
      'rows',
      'rows:',
      'rows:1.',
      'rows:x',
      'rows:1/rows:2',
      'rows:-1',
      'rows:1e',
    ]) {
      expect(parsePosition(nonsense)).toBeNull();
      expect(comparePositions(nonsense, 'rows:1')).toBeNull();
    }
  });
});

describe('the beginning', () => {
  const topic = (...partitions: readonly (readonly [bigint, bigint])[]): ObservedTopic => ({
    name: 'rows',
    identity: 'id',
    partitions: partitions.map(([earliest, end]) => ({ earliest, end })),
  });
  const begin = (after: string | null, ...observed: readonly ObservedTopic[]) => {
    const { position, gap } = decideBeginning(after === null ? null : parsePosition(after), observed);
    return { at: formatPosition(position), gap };
  };

  it('is at the head, with a gap, without a position', () => {
    expect(begin(null, topic([0n, 7n], [3n, 9n]))).toEqual({ at: 'rows~id:7.9', gap: 'no position in rows' });
  });

  it('is the position where everything after it is kept, at the bounds as well', () => {
    expect(begin('rows~id:0e4.9', topic([0n, 7n], [3n, 9n]))).toEqual({ at: 'rows~id:0e4.9', gap: null });
    expect(begin('rows~id:7.3', topic([0n, 7n], [3n, 9n]))).toEqual({ at: 'rows~id:7.3', gap: null });
  });

  it('is the end of a trimmed or truncated partition, and the position in others', () => {
    expect(begin('rows~id:5.2e1', topic([0n, 7n], [3n, 9n]))).toEqual({
      at: 'rows~id:5.9',
      gap: 'rows/1 was trimmed: 2 wanted, 3 is first',
    });
    expect(begin('rows~id:8.4', topic([0n, 7n], [3n, 9n]))).toEqual({
      at: 'rows~id:7.4',
      gap: 'rows/0 was cut off: 8 wanted, it ends at 7',
    });
  });

  it('is a gap where the last message read is gone and others came since', () => {
    const after = 'rows~id:5m2-digest';
    expect(begin(after, topic([3n, 7n]))).toEqual({ at: after, gap: null });
    expect(begin(after, topic([4n, 5n]))).toEqual({ at: 'rows~id:5', gap: null });
    expect(begin(after, topic([4n, 7n]))).toEqual({
      at: 'rows~id:7',
      gap: 'rows/0 no longer holds the last message read, 3, by which it can be recognised',
    });
  });

  it('is the first record of a new partition, and a gap if that was removed', () => {
    expect(begin('rows~id:5', topic([0n, 7n], [0n, 9n]))).toEqual({ at: 'rows~id:5.0', gap: null });
    expect(begin('rows~id:5', topic([0n, 7n], [1n, 9n])).gap).toContain('rows/1 was trimmed');
  });

  it('is the head of a topic that was recreated or not read before', () => {
    const gap = 'rows was recreated';
    expect(begin('rows~other:5', topic([0n, 7n]))).toEqual({ at: 'rows~id:7', gap });
    expect(begin('rows~id:5.5', topic([0n, 7n]))).toEqual({ at: 'rows~id:7', gap });
    expect(begin('orders~id:5', topic([0n, 7n]))).toEqual({
      at: 'rows~id:7',
      gap: 'rows was not followed before',
    });
  });
});
