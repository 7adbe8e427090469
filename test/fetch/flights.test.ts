/**
 * Tests which requests wait for which flight, with fetches of plain text, independently of what is fetched.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Flights, type BegunFetch, type FetchPort, type FlightShare } from '../../proxy/fetch/flights.ts';

interface Texts {
  /** The first word is the key. With `?` after it, the result of this request does not answer others. */
  request: string;
  /** The results that it gets. */
  waiter: string[];
  result: string;
  given: string;
}

interface Asked extends BegunFetch<Texts> {
  readonly request: string;
  readonly isShared: boolean;
  deliver(result: string): void;
  over(): void;
  isAbandoned: boolean;
}

/** Fetches whose results the test gives. The first word of a result says what other waiters get. */
function open(maxWaiters = 10, maxWaiting = 100) {
  const asked: Asked[] = [];
  const failures: unknown[] = [];
  const alone = new Set<string>();
  let isOpen = true;
  const port: FetchPort<Texts> = {
    keyOf: (request) => request.split(' ')[0]!,
    knownAnswer: (request) => (request.startsWith('known') ? 'known' : null),
    asksAlone: (_request, key) => alone.has(key),
    answersAll: (request) => !request.endsWith('?'),
    limitAnswer: (limit) => `too many ${limit}`,
    goneAnswer: () => 'gone',
    begin(request, { isShared }, { deliver, over }) {
      if (request.startsWith('gone')) return null;
      const one: Asked = {
        request,
        isShared,
        terms: {
          inForce: () => asked.length,
          mayAwait: () => isOpen && !request.endsWith('?'),
          given: (_waiter, result) => (result.startsWith('all') ? `${result}, late` : null),
        },
        start: () => void asked.push(one),
        abandon: () => {
          one.isAbandoned = true;
          over();
        },
        deliver,
        over,
        isAbandoned: false,
      };
      return one;
    },
    sharesOf: (_fetch, _slot, result) => ({
      isJoinable: result.startsWith('all'),
      isForLeader: result.startsWith('own'),
      leader: { kind: 'give', given: result },
      of: (_waiter, _request, joinedWith): FlightShare<Texts> => {
        if (result.startsWith('all')) return { kind: 'give', given: `${result}, joined with ${joinedWith}` };
        if (result.startsWith('own')) return { kind: 'alone' };
        if (result.startsWith('vain')) return { kind: 'again-bounded', last: 'in vain' };
        return { kind: 'again' };
      },
    }),
    give: (waiter, given) => void waiter.push(given),
    giveFailed: (error) => void failures.push(error),
  };
  const flights = new Flights(port, { maxWaiters, maxWaiting });
  const ask = (request: string, given: string[] = []) => {
    return { given, leave: flights.join(request, given) };
  };
  return {
    flights,
    asked,
    failures,
    alone,
    ask,
    /** From now on no request may join a running flight. */
    close: () => {
      isOpen = false;
    },
  };
}

describe('flights', () => {
  it('are one for all waiters of a key, and one for each key', () => {
    const { flights, asked, ask } = open();
    const [a, b, other] = [ask('a'), ask('a'), ask('b')];
    expect(asked.map(({ request }) => request)).toEqual(['a', 'b']);
    expect([flights.waiting, flights.running]).toEqual([3, 2]);
    asked[0]!.deliver('all');
    expect([a.given, b.given, other.given]).toEqual([['all'], ['all, joined with 1'], []]);
    expect(ask('a').given).toEqual(['all, late']);
    asked[0]!.over();
    asked[0]!.over();
    expect([flights.waiting, flights.running]).toEqual([1, 1]);
    expect(flights.has('a')).toBe(false);
  });

  it('are two of a key at most, and the next one is for all that could not join', () => {
    const { asked, ask, close } = open();
    ask('a');
    close();
    const late = Array.from({ length: 5 }, () => ask('a'));
    expect(asked).toHaveLength(2);
    asked[0]!.deliver('none');
    expect(asked).toHaveLength(3);
    expect(late.map(({ given }) => given.length)).toEqual([0, 0, 0, 0, 0]);
  });

  it('start first for requests whose result answers all', () => {
    const { asked, ask, close } = open();
    ask('a ?');
    ask('a ?');
    const [head, get] = [ask('a ?'), ask('a')];
    expect(asked).toHaveLength(2);
    asked[0]!.deliver('none');
    expect(asked.map(({ request }) => request)).toEqual(['a ?', 'a ?', 'a']);
    asked[2]!.deliver('all');
    expect([head.given, get.given]).toEqual([['all, joined with 3'], ['all']]);
    close();
  });

  it('whose result is for the leader give the others flights of their own', () => {
    const { flights, asked, ask } = open();
    const waiting = Array.from({ length: 4 }, () => ask('a'));
    asked[0]!.deliver('own');
    expect(asked.map(({ isShared }) => isShared)).toEqual([true, false, false, false]);
    for (const one of asked.slice(1)) one.deliver('own');
    expect(waiting.map(({ given }) => given)).toEqual(Array.from({ length: 4 }, () => ['own']));
    expect([flights.waiting, flights.running]).toEqual([0, 0]);
  });

  it('let no request wait in vain for more than two', () => {
    const { asked, ask } = open();
    const waiting = Array.from({ length: 4 }, () => ask('a'));
    asked[0]!.deliver('vain');
    asked[1]!.deliver('vain');
    expect(asked).toHaveLength(2);
    expect(waiting.map(({ given }) => given[0])).toEqual(['vain', 'vain', 'in vain', 'in vain']);
  });

  it('give every waiter its result, and the next flight its waiters, even if a waiter throws', () => {
    const { flights, asked, failures, ask, close } = open();
    const fault = new Error('it can not be given anything');
    const throwing = (): string[] =>
      Object.assign([], {
        push: () => {
          throw fault;
        },
      });
    ask('a', throwing());
    const second = ask('a');
    ask('a', throwing());
    const last = ask('a');
    close();
    ask('a');
    const next = ask('a');
    asked[0]!.deliver('all');
    expect([second.given, last.given]).toEqual([['all, joined with 1'], ['all, joined with 1']]);
    expect(failures).toEqual([fault, fault]);
    asked[0]!.over();
    asked[1]!.over();
    expect(asked).toHaveLength(3);
    asked[2]!.deliver('all');
    expect(next.given).toEqual(['all']);
    expect(flights.waiting).toBe(1);
  });

  it('are given up when the last waiter leaves, and not before', () => {
    const { flights, asked, ask } = open();
    const [a, b] = [ask('a'), ask('a')];
    expect([a.leave(), asked[0]!.isAbandoned]).toEqual([true, false]);
    expect([b.leave(), asked[0]!.isAbandoned]).toEqual([true, true]);
    expect([a.leave(), flights.waiting, flights.running]).toEqual([false, 0, 0]);
  });

  it('give up a result that only a leader that has left could use', () => {
    const { asked, ask } = open();
    const [leader, other] = [ask('a'), ask('a')];
    leader.leave();
    asked[0]!.deliver('own');
    expect(asked[0]!.isAbandoned).toBe(true);
    expect(asked).toHaveLength(2);
    asked[1]!.deliver('own');
    expect([leader.given, other.given]).toEqual([[], ['own']]);
  });

  it('can be left by requests that wait for the next one', () => {
    const { asked, ask, close } = open();
    ask('a');
    close();
    ask('a');
    const third = ask('a');
    expect(third.leave()).toBe(true);
    asked[0]!.deliver('none');
    expect(asked).toHaveLength(2);
    expect(third.given).toEqual([]);
  });

  it('are not joined for a known result, without an origin to ask, or by a request for one client alone', () => {
    const { flights, asked, alone, ask } = open();
    expect(ask('known').given).toEqual(['known']);
    expect(ask('gone').given).toEqual(['gone']);
    alone.add('a');
    ask('a');
    ask('a');
    expect(asked.map(({ isShared }) => isShared)).toEqual([false, false]);
    expect(flights.has('a')).toBe(false);
  });

  it('hold no more than the maximum of waiters', () => {
    const { flights, ask } = open(2, 3);
    const given = ['a', 'a', 'a', 'b', 'c'].map((request) => ask(request).given);
    expect(given).toEqual([[], [], ['too many waiters'], [], ['too many waiting']]);
    expect(flights.waiting).toBe(3);
  });

  it.each(['flight.ts', 'flights.ts'])('import no other module: %s', async (file) => {
    const text = await readFile(join(import.meta.dirname, '../../proxy/fetch', file), 'utf8');
    const imported = [...text.matchAll(/from '([^']+)'/g)].map(([, specifier]) => specifier);
    expect(imported.filter((specifier) => specifier !== './flight.ts')).toEqual([]);
  });
});
