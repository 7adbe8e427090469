import { describe, expect, it } from 'vitest';
import { CounterSum, sumOf } from '../../proxy/threads/counters.ts';

describe('the sum of counters', () => {
  it('adds objects, maps and lists name by name, also where one side lacks a name', () => {
    const a = { requests: 1, byRoute: new Map([['p', { buckets: [1, 2] }]]), origins: {} };
    const b = { requests: 2, byRoute: new Map([['p', { buckets: [10, 20] }]]), origins: { app: 3 } };
    expect(sumOf(a, b)).toEqual({
      requests: 3,
      byRoute: new Map([['p', { buckets: [11, 22] }]]),
      origins: { app: 3 },
    });
    expect(a.byRoute.get('p')).toEqual({ buckets: [1, 2] });
    expect(sumOf(a, undefined)).toEqual(a);
  });
});

describe('counters of several sources', () => {
  const zero = { asked: 0, running: 0 };
  const lasting = ({ asked }: typeof zero) => ({ asked, running: 0 });

  it('keep the counts of a source that has ended, and drop its gauges', () => {
    const sum = new CounterSum<string, typeof zero>(zero, lasting);
    const counts = { asked: 1, running: 1 };
    sum.add('a', () => counts);
    sum.add('b', () => ({ asked: 10, running: 2 }));
    counts.asked = 5;
    expect(sum.read()).toEqual({ asked: 15, running: 3 });
    sum.end('a');
    sum.end('a');
    expect([sum.read(), sum.read()]).toEqual([
      { asked: 15, running: 2 },
      { asked: 15, running: 2 },
    ]);
  });
});
