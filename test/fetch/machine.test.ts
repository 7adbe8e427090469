/** Tests the states of a fetch, by the origin's answers and by events while a state waits. */
import { describe, expect, it } from 'vitest';
import type { Fields } from '../../policies/http/fields.ts';
import { fieldValue } from '../../policies/http/fields.ts';
import type { OriginFailure } from '../../origin-adapters/origin.ts';
import { TRANSITIONS } from '../../proxy/fetch/machine.ts';
import { openFetchWorld, textOf, turn, type FetchWorld, type OneFetch } from './one-fetch.ts';

const FRESH = ['Cache-Control', 'max-age=60', 'ETag', '"1"'];
const FAILURE: OriginFailure = {
  kind: 'connection_terminated',
  status: 502,
  message: '',
  maybeProcessed: true,
  cause: null,
};

/** Each transition that a test has taken. */
const taken = new Set<string>();
const open = (cache = '', maxObjectBytes?: number): Promise<FetchWorld> =>
  openFetchWorld(cache, (from, to) => taken.add(`${from} → ${to}`), maxObjectBytes);

function answer({ origin }: OneFetch, status: number, fields: Fields, content = ''): void {
  origin.onHead(status, fields);
  if (content !== '') origin.onData(Buffer.from(content));
  origin.onEnd([]);
}

/** A world in which a response with these fields was stored `ageSeconds` ago. */
async function stored(fields: Fields, ageSeconds: number, cache = ''): Promise<FetchWorld> {
  const world = await open(cache);
  answer(world.begin(), 200, fields, 'stored');
  world.clock.now += ageSeconds * 1000;
  return world;
}

function contentOf({ results }: OneFetch): string {
  const [result] = results;
  if (result === undefined || !('body' in result)) throw new Error(`no content: ${result?.kind}`);
  if (result.body !== null) return textOf(result.body);
  return Buffer.from(result.kind === 'entry' ? (result.entry.content ?? []) : []).toString();
}

const STORED = 'start head storable deliver body store end';
const PASSED = 'start head private deliver body end';

describe('a response', () => {
  it('is stored while it is delivered', async () => {
    const world = await open();
    const one = world.begin();
    one.origin.onHead(200, FRESH);
    expect(one.results).toMatchObject([{ kind: 'entry', originStatus: 200 }]);
    one.origin.onData(Buffer.from('content'));
    expect(contentOf(one)).toBe('content');
    expect(one.ended).toBe(0);
    one.origin.onEnd([]);
    expect(one.path.join(' ')).toBe(STORED);
    expect(one.ended).toBe(1);
    expect(world.tiers.memory.get('shop\n\n/a')).toHaveLength(1);
  });

  it('is delivered only to the leader where it may not be stored', async () => {
    const world = await open();
    const one = world.begin();
    answer(one, 200, ['Cache-Control', 'no-store'], 'content');
    expect(one.path.join(' ')).toBe(PASSED);
    expect(one.results).toMatchObject([{ kind: 'pass', reason: 'no-store' }]);
    expect(contentOf(one)).toBe('content');
  });

  it('is private where no tier stores it', async () => {
    const world = await open('', 5);
    const one = world.begin();
    answer(one, 200, [...FRESH, 'Content-Length', '6'], 'longer');
    expect(one.path.join(' ')).toBe('start head storable private deliver body end');
    expect(one.results).toMatchObject([{ kind: 'pass', reason: 'too-large' }]);
  });

  it('to a HEAD is complete at its head', async () => {
    const world = await open();
    const one = world.begin({ method: 'HEAD' });
    answer(one, 200, FRESH);
    expect(one.path.join(' ')).toBe('start head storable deliver end');
    expect(one.results).toMatchObject([{ kind: 'entry', body: null }]);
  });

  it('is delivered in order if it arrives before the request was sent', async () => {
    const world = await open();
    world.answerAtOnce((handler) => {
      handler.onHead(200, FRESH);
      handler.onData(Buffer.from('con'));
      handler.onData(Buffer.from('tent'));
      handler.onEnd([]);
    });
    const one = world.begin();
    expect(one.path.join(' ')).toBe(STORED);
    expect(contentOf(one)).toBe('content');
    expect(one.ended).toBe(1);
  });
});

describe('a 304', () => {
  it('confirms the stored entry', async () => {
    const world = await stored(FRESH, 70);
    const one = world.begin();
    expect(fieldValue(world.sent.at(-1)!.fields, 'if-none-match')).toBe('"1"');
    answer(one, 304, FRESH);
    expect(one.path.join(' ')).toBe('start head confirm deliver end');
    expect(one.results).toMatchObject([{ kind: 'entry', originStatus: 304 }]);
    expect(contentOf(one)).toBe('stored');
  });

  it('that adds a tag is delivered after every copy has the tag', async () => {
    const world = await stored(FRESH, 70);
    const copies = world.holdPublications();
    const one = world.begin();
    answer(one, 304, [...FRESH, 'Surrogate-Key', 'new']);
    expect(one.path.join(' ')).toBe('start head confirm publish');
    expect(one.results).toEqual([]);
    await copies.open();
    expect(one.path.join(' ')).toBe('start head confirm publish deliver end');
    expect(one.ended).toBe(1);
  });

  it('that forbids storing causes a request without conditions, after every worker has deleted the entry', async () => {
    const world = await stored(FRESH, 70);
    const copies = world.holdPublications();
    const one = world.begin();
    answer(one, 304, ['Cache-Control', 'no-store', 'ETag', '"1"']);
    expect(world.sent).toHaveLength(2);
    await copies.open();
    await turn();
    expect(fieldValue(world.sent.at(-1)!.fields, 'if-none-match')).toBe(undefined);
    answer(one, 200, FRESH, 'anew');
    expect(one.path.join(' ')).toBe('start head confirm publish retry head storable deliver body store end');
    expect(contentOf(one)).toBe('anew');
  });

  it('about another entry causes a request without conditions', async () => {
    const world = await stored(FRESH, 70);
    const one = world.begin();
    answer(one, 304, ['ETag', '"other"']);
    answer(one, 200, FRESH, 'anew');
    expect(one.path.join(' ')).toBe('start head confirm retry head storable deliver body store end');
    expect(world.aborted).toEqual([undefined]);
  });

  it('gives the content of another variant to this request', async () => {
    const world = await stored([...FRESH, 'Vary', 'X-For'], 1);
    const fields = ['X-For', 'me'];
    const one = world.begin({ request: { method: 'GET', fields, written: [] } });
    answer(one, 304, [...FRESH, 'Vary', 'X-For']);
    expect(one.path.join(' ')).toBe('start head confirm deliver body store end');
    expect(contentOf(one)).toBe('stored');
    expect(world.tiers.memory.get('shop\n\n/a')).toHaveLength(2);
  });
});

describe.each([431, 412])('a %i to a request with conditions', (status) => {
  it('causes a request without conditions', async () => {
    const world = await stored(FRESH, 70);
    const one = world.begin();
    answer(one, status, []);
    answer(one, 200, FRESH, 'anew');
    expect(one.path.join(' ')).toBe('start head retry head storable deliver body store end');
    expect(world.counters.conditionsRefused).toBe(1);
  });
});

describe('a stored part', () => {
  const PART = [...FRESH, 'Content-Range', 'bytes 0-3/8'];
  const REST = [...FRESH, 'Content-Range', 'bytes 4-7/8'];

  async function withPart(fields: Fields, content: string): Promise<FetchWorld> {
    const world = await open('range-miss: pass');
    const range = ['Range', fields === PART ? 'bytes=0-3' : 'bytes=4-7'];
    const first = world.begin({
      request: { method: 'GET', fields: range, written: [] },
      originFields: range,
      asksPart: true,
    });
    answer(first, 206, fields, content);
    return world;
  }

  it.each([
    ['beginning', PART, 'abcd', REST, 'efgh'],
    ['end', REST, 'efgh', PART, 'abcd'],
  ] as const)('is completed: its %s is known', async (_what, known, content, missing, rest) => {
    const world = await withPart(known, content);
    const one = world.begin();
    answer(one, 206, missing, rest);
    expect(one.path.join(' ')).toBe('start head complete deliver body store end');
    expect(contentOf(one)).toBe('abcdefgh');
  });

  it('is given up where the origin has another representation', async () => {
    const world = await withPart(PART, 'abcd');
    const one = world.begin();
    answer(one, 206, ['Cache-Control', 'max-age=60', 'ETag', '"2"', 'Content-Range', 'bytes 4-7/8'], 'efgh');
    answer(one, 200, FRESH, 'anew');
    expect(one.path.join(' ')).toBe('start head complete retry head storable deliver body store end');
  });

  it('is completed in place of a fresh entry, after no worker serves that entry', async () => {
    const world = await withPart(PART, 'abcd');
    const [part] = world.tiers.memory.get('shop\n\n/a');
    const whole = await stored(['Cache-Control', 'max-age=600'], 0);
    const [served] = whole.tiers.memory.get('shop\n\n/a');
    whole.tiers.memory.put(part!, 8, () => false);
    expect(whole.tiers.memory.get('shop\n\n/a')).toContain(served);
    const copies = whole.holdPublications();
    const one = whole.begin();
    answer(one, 206, REST, 'efgh');
    expect(one.path.join(' ')).toBe('start head complete publish');
    await copies.open();
    expect(one.path.join(' ')).toBe('start head complete publish deliver body store end');
    expect(contentOf(one)).toBe('abcdefgh');
  });
});

describe('while a fetch waits until other workers know of its response', () => {
  /** A response that replaces a fresh entry, which other workers still serve. */
  async function replacing() {
    const world = await stored(['Cache-Control', 'max-age=600'], 1);
    const copies = world.holdPublications();
    const one = world.begin();
    one.origin.onHead(200, FRESH);
    expect(one.path.join(' ')).toBe('start head storable publish');
    return { world, copies, one };
  }

  /** A response that is not stored, and outdates the stored entry. */
  async function outdating() {
    const world = await stored(FRESH, 70);
    const copies = world.holdPublications();
    const one = world.begin();
    one.origin.onHead(200, ['Cache-Control', 'no-store']);
    expect(one.path.join(' ')).toBe('start head private publish');
    return { world, copies, one };
  }

  it.each([
    ['stored', replacing, 'start head storable publish deliver body store end'],
    ['private', outdating, 'start head private publish deliver body end'],
  ])('no content of a %s response is delivered or lost', async (_what, begin, path) => {
    const { copies, one } = await begin();
    one.origin.onData(Buffer.from('c'.repeat(150)));
    one.origin.onEnd([]);
    expect(one.results).toEqual([]);
    expect(one.ended).toBe(0);
    await copies.open();
    await turn();
    expect(one.path.join(' ')).toBe(path);
    expect(contentOf(one)).toBe('c'.repeat(150));
    expect(one.ended).toBe(1);
  });

  it('content that arrives after the wait is delivered', async () => {
    const { copies, one } = await replacing();
    await copies.open();
    expect(one.path.at(-1)).toBe('body');
    one.origin.onData(Buffer.from('content'));
    one.origin.onEnd([]);
    expect(contentOf(one)).toBe('content');
    expect(one.ended).toBe(1);
  });

  it.each([
    ['stored', replacing],
    ['private', outdating],
  ])('a failure of a %s response is delivered at once, and nothing after it', async (_what, begin) => {
    const { copies, one } = await begin();
    one.origin.onFailure(FAILURE);
    expect(one.path.slice(-4)).toEqual(['publish', 'fail', 'cut', 'end']);
    await copies.open();
    await turn();
    expect(one.results).toMatchObject([{ kind: 'failed', failure: FAILURE }]);
    expect(one.ended).toBe(1);
  });

  it.each([
    ['stored', replacing],
    ['private', outdating],
  ])('a %s response fails if the wait fails', async (_what, begin) => {
    const { copies, one } = await begin();
    await turn();
    await copies.fail();
    await turn();
    expect(one.path.slice(-4)).toEqual(['publish', 'fail', 'cut', 'end']);
    expect(one.results).toMatchObject([{ kind: 'failed', failure: { kind: 'proxy_internal_error' } }]);
    expect(one.ended).toBe(1);
  });

  it('a private response is given up when the last waiter leaves', async () => {
    const { world, copies, one } = await outdating();
    one.fetch.abandon();
    expect(one.path.slice(-4)).toEqual(['publish', 'abandon', 'cut', 'end']);
    expect(world.aborted).toEqual(['client-left']);
    await copies.open();
    expect(one.results).toEqual([]);
  });

  it('a response that is stored is continued without waiters', async () => {
    const { world, copies, one } = await replacing();
    one.fetch.abandon();
    one.origin.onData(Buffer.from('anew'));
    one.origin.onEnd([]);
    await copies.open();
    expect(one.path.at(-1)).toBe('end');
    expect(world.aborted).toEqual([]);
    expect(Buffer.from(world.tiers.memory.get('shop\n\n/a')[0]!.content!).toString()).toBe('anew');
  });

  it('a HEAD that outdates the stored entry also waits', async () => {
    const world = await stored([...FRESH, 'Content-Length', '6'], 70);
    const copies = world.holdPublications();
    const one = world.begin({ method: 'HEAD' });
    answer(one, 200, ['Cache-Control', 'max-age=60', 'ETag', '"2"']);
    expect(one.path.join(' ')).toBe('start head storable publish');
    await copies.open();
    await turn();
    expect(one.path.join(' ')).toBe('start head storable publish deliver end');
  });
});

describe('a fetch', () => {
  it('delivers a failure before the head', async () => {
    const world = await open();
    const one = world.begin();
    one.origin.onFailure(FAILURE);
    expect(one.path.join(' ')).toBe('start head fail cut end');
    expect(one.results).toMatchObject([{ kind: 'failed', failure: FAILURE }]);
    expect(one.ended).toBe(1);
  });

  it('cuts the content at a failure within it, and stores nothing', async () => {
    const world = await open();
    const one = world.begin();
    one.origin.onHead(200, FRESH);
    one.origin.onData(Buffer.from('con'));
    one.origin.onFailure(FAILURE);
    expect(one.path.join(' ')).toBe('start head storable deliver body cut end');
    expect(one.results).toMatchObject([{ kind: 'entry', body: { state: { kind: 'cut' } } }]);
    expect(world.tiers.memory.get('shop\n\n/a')).toEqual([]);
  });

  it('is given up before the head when the last waiter has left, and only once', async () => {
    const world = await open();
    const one = world.begin();
    one.fetch.abandon();
    one.fetch.abandon();
    expect(one.path.join(' ')).toBe('start head abandon cut end');
    expect(world.aborted).toEqual(['client-left']);
    expect(one.ended).toBe(1);
  });

  it('of a private response is given up with its client', async () => {
    const world = await open();
    const one = world.begin();
    one.origin.onHead(200, ['Cache-Control', 'no-store']);
    one.fetch.abandon();
    expect(one.path.join(' ')).toBe('start head private deliver body abandon cut end');
    expect(world.aborted).toEqual(['client-left']);
  });

  it('of a response that can be stored continues without clients', async () => {
    const world = await open();
    const one = world.begin();
    one.origin.onHead(200, FRESH);
    one.fetch.abandon();
    one.origin.onData(Buffer.from('content'));
    one.origin.onEnd([]);
    expect(one.path.join(' ')).toBe(STORED);
    expect(world.tiers.memory.get('shop\n\n/a')).toHaveLength(1);
  });
});

describe('the table of transitions', () => {
  const table = Object.entries(TRANSITIONS).flatMap(([from, next]) => next.map((to) => `${from} → ${to}`));

  it('has only states that can be reached, and that lead to an end', () => {
    const from = (at: keyof typeof TRANSITIONS): Set<string> => {
      const reached = new Set<string>([at]);
      for (const each of reached) {
        for (const next of TRANSITIONS[each as keyof typeof TRANSITIONS]) reached.add(next);
      }
      return reached;
    };
    expect([...from('start')].toSorted()).toEqual(Object.keys(TRANSITIONS).toSorted());
    for (const at of Object.keys(TRANSITIONS) as (keyof typeof TRANSITIONS)[]) {
      expect(from(at).has('end')).toBe(true);
    }
  });

  it('has exactly the transitions of the tests above', () => {
    expect([...taken].toSorted()).toEqual(table.toSorted());
  });
});
