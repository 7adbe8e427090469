/**
 * Tests each transition of a request's life, as `STEPS` lists them. The last test checks that none was left
 * out.
 */
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { fieldValue, type Fields } from '../../policies/http/fields.ts';
import { tagOfUrl } from '../../policies/tags.ts';
import type { OriginFailure, OriginRequest } from '../../origin-adapters/origin.ts';
import { HealthCells } from '../../proxy/feeds/health-cells.ts';
import type { FeedState } from '../../proxy/feeds/sink.ts';
import { STEPS } from '../../proxy/request/steps.ts';
import type { RuntimeDependencies } from '../../proxy/runtime/worker-runtime.ts';
import type { ContentOnDisk, DiskEntry, DiskTier } from '../../proxy/store/disk-tier.ts';
import type { EntryHead } from '../../proxy/store/entry-head.ts';
import { startWorkers, type Asked, type OriginResult } from '../fetch/workers.ts';
import { settle } from '../support/barrier.ts';

const seen = new Set<string>();

interface Given {
  readonly workers?: number;
  /** More keys of the configuration. */
  readonly more?: string;
  readonly change?: (deps: RuntimeDependencies) => RuntimeDependencies;
}

/** One or more workers, and the steps that the last request has taken. */
async function machine(cache: string, { workers = 1, more = '', change = (deps) => deps }: Given = {}) {
  let path: string[] = [];
  const scene = await startWorkers(workers, cache, more, (deps) => ({
    ...change(deps),
    onTransition(from, to) {
      seen.add(`${from} → ${to}`);
      path.push(to);
    },
  }));
  /** Sends a request to the last worker, and answers the requests to the origin. */
  const get = async (
    target: string,
    asked: Asked = {},
    answer: OriginResult | ((request: OriginRequest) => OriginResult) = FRESH,
  ) => {
    path = [];
    const answered = scene.ask(workers - 1, target, asked);
    await scene.answerAll((request) => (typeof answer === 'function' ? answer(request) : answer));
    const { status, fields, body } = await answered;
    return { status, body, cacheStatus: fieldValue(fields, 'cache-status') ?? '', path };
  };
  const setFeed = (state: FeedState): void =>
    new HealthCells(scene.feeds['changes']!.health).set(
      { state, silentSinceMonotonicMs: scene.clock.now },
      scene.clock,
    );
  return { ...scene, get, setFeed };
}

const HEADERS = 'freshness: headers, client-directives: honor';
const FRESH = { fields: ['Cache-Control', 'max-age=60', 'ETag', '"1"'], body: 'one' };
const STALE = (directives: string) => ({
  fields: ['Cache-Control', `max-age=1, ${directives}`, 'ETag', '"1"'],
  body: 'one',
});
const CONFIRMED = { status: 304, fields: ['Cache-Control', 'max-age=60', 'ETag', '"1"'] };
const FAILURE = { kind: 'connection_refused', status: 502 } as const;
const UNMET: Asked = { fields: ['If-Match', '"2"'] };
const MET: Asked = { fields: ['If-Match', '"1"'] };
const ONLY_IF_CACHED: Asked = { fields: ['Cache-Control', 'only-if-cached'] };

const TO_LOOKUP = ['route', 'key', 'lookup'];
const MISS = [...TO_LOOKUP, 'ask-origin', 'fetch'];
const TO_DECISION = [...TO_LOOKUP, 'decide', 'look-further', 'decide'];

describe('a request that needs no route', () => {
  it('is answered if it is a PURGE', async () => {
    const { get } = await machine(HEADERS);
    expect(await get('/', { method: 'PURGE' })).toMatchObject({ status: 403, path: ['purge'] });
  });

  it('is rejected if it is a PURGE with a wildcard, which would purge nothing', async () => {
    const { get, origin } = await machine(HEADERS, { more: 'admin: { token: a-secret-of-16-bytes }' });
    const fields = ['Authorization', 'Bearer a-secret-of-16-bytes'];
    expect(await get('/a/*', { method: 'PURGE', fields })).toMatchObject({ status: 400, path: ['purge'] });
    expect(await get('/a', { method: 'PURGE', fields })).toMatchObject({ status: 200, path: ['purge'] });
    expect(origin.requests).toEqual([]);
  });

  it.each<[string, string, Asked]>([
    ['malformed-target', '/%zz', {}],
    ['ambiguous-path', '/a/..%2fb', {}],
    ['loop', '/', { fields: Array.from({ length: 16 }, () => ['Via', '1.1 weir']).flat() }],
  ])('is rejected: %s', async (code, target, asked) => {
    const { get } = await machine(HEADERS);
    expect(await get(target, asked)).toMatchObject({
      path: ['route', 'refuse'],
      cacheStatus: `weir; detail=${code}`,
    });
  });

  it('is answered if it is OPTIONS *', async () => {
    const { get } = await machine(HEADERS);
    const answer = await get('*', { method: 'OPTIONS' });
    expect(answer).toMatchObject({ status: 204, path: ['route', 'final-recipient'] });
  });

  it('is answered if it is a delivery to a feed', async () => {
    const { get } = await machine(HEADERS, {
      change: (deps) => ({
        ...deps,
        start: {
          ...deps.start,
          configuration: { ...deps.start.configuration, receivers: [{ path: '/hook', maxBodyBytes: 10 }] },
        },
        deliver: () => Promise.resolve({ status: 204, detail: '' }),
      }),
    });
    expect(await get('/hook', { method: 'POST' })).toMatchObject({ status: 204, path: ['route', 'webhook'] });
  });
});

describe('a request bypasses the cache', () => {
  it('if it is a protocol switch', async () => {
    const { get, origin } = await machine(HEADERS);
    const failure: OriginFailure = { ...FAILURE, message: '', maybeProcessed: false, cause: null };
    Object.assign(origin, { upgrade: async () => ({ kind: 'failed', failure }) });
    expect(await get('/', { upgrade: ['websocket'] })).toMatchObject({
      status: 502,
      path: ['route', 'tunnel'],
    });
  });

  it('if its method is safe but neither GET nor HEAD', async () => {
    const { get } = await machine(HEADERS);
    expect(await get('/', { method: 'OPTIONS' })).toMatchObject({ status: 200, path: ['route', 'pass'] });
  });

  it('if it has no key', async () => {
    const { get } = await machine('freshness: none');
    expect(await get('/')).toMatchObject({ status: 200, path: ['route', 'key', 'pass'] });
  });
});

describe('writes', () => {
  /** Workers whose journal grants slots, and admits and accepts no write. */
  const writing = (write: string) =>
    machine(`${HEADERS} }, write: { ${write}`, {
      change: (deps) => ({
        ...deps,
        journal: {
          ...deps.journal,
          takeSlot: () => Promise.resolve({ kind: 'admitted', slot: 1 }),
          giveSlot: () => {},
          admitThrough: () => Promise.resolve({ kind: 'busy' }),
          abandonThrough: () => {},
          acceptWrite: () => Promise.resolve({ kind: 'full' }),
        },
      }),
    });
  const post = (content: string): Asked => ({ method: 'POST', body: Readable.from([Buffer.from(content)]) });
  const CONTENT_READ = ['route', 'write', 'read-content'];

  it('around are sent, with the content that was read', async () => {
    const { get, origin } = await writing('policy: around');
    expect(await get('/', post('new'), { body: 'done' })).toMatchObject({
      status: 200,
      body: 'done',
      path: [...CONTENT_READ, 'write-around'],
    });
    expect(origin.requests).toMatchObject([{ method: 'POST' }]);
  });

  it('around get 503 where the coordinator grants no slot', async () => {
    const { get, origin } = await machine(HEADERS, {
      change: (deps) => ({
        ...deps,
        journal: { ...deps.journal, takeSlot: () => Promise.reject(new Error('stopping')) },
      }),
    });
    const path = [...CONTENT_READ, 'write-around'];
    expect(await get('/', { method: 'POST' })).toMatchObject({ status: 503, path });
    expect(origin.requests).toEqual([]);
  });

  it('around wait behind earlier writes to the URL', async () => {
    const { get, fence, origin } = await writing('policy: around');
    await fence.hold(fence.hasher.hash([tagOfUrl(null, '/', '')]), () => {});
    const path = [...CONTENT_READ, 'write-through'];
    expect(await get('/', { method: 'POST' })).toMatchObject({ status: 503, path });
    expect((await get('/other', { method: 'POST' })).path).toEqual([...CONTENT_READ, 'write-around']);
    expect(origin.requests).toHaveLength(1);
  });

  it('through wait for their turn', async () => {
    const { get } = await writing('policy: through');
    const path = [...CONTENT_READ, 'write-through'];
    expect(await get('/', post('new'))).toMatchObject({ status: 503, path });
  });

  it.each<[string, string, string[]]>([
    ['are sent to the journal', 'on-full: reject', ['write-behind']],
    ['go through where the journal is full', 'on-full: through', ['write-behind', 'write-through']],
  ])('behind %s', async (_, onFull, then) => {
    const { get } = await writing(`policy: behind, ${onFull}`);
    expect(await get('/', post('new'))).toMatchObject({ status: 503, path: ['route', 'write', ...then] });
  });
});

describe('a request that waits before it reaches the cache', () => {
  const FEED = 'feeds: { changes: { type: sse, url: "http://shop/changes", map: [] } }';
  const BEHIND = 'write: { policy: behind, reads: wait';
  const change = (deps: RuntimeDependencies): RuntimeDependencies => ({
    ...deps,
    journal: { ...deps.journal, readPending: () => Promise.resolve({ kind: 'none' }) },
  });

  it.each<[string, string, string[]]>([
    ['', '', ['key', 'lookup']],
    ['a feed and ', ', feed: changes, position-header: true', ['position', 'key', 'lookup']],
  ])('is one for a URL with %swaiting writes', async (_, more, then) => {
    const freshness = more === '' ? 'headers' : 'until-changed';
    const scene = await machine(`freshness: ${freshness}${more} }, ${BEHIND}`, { more: FEED, change });
    const { fence } = scene;
    await fence.hold(fence.hasher.hash([tagOfUrl(null, '/', '')]), () => {});
    expect((await scene.get('/')).path.slice(0, 2 + then.length)).toEqual(['route', 'pending', ...then]);
  });

  it.each<[string, Fields, string[]]>([
    ['nothing has to be waited for', [], ['route', 'position', ...TO_LOOKUP.slice(1)]],
    [
      'an unknown feed bypasses the cache',
      ['Weir-Min-Position', 'elsewhere="1"'],
      ['route', 'position', 'pass'],
    ],
  ])('is one with a demanded position: %s', async (_, fields, path) => {
    const scene = await machine('freshness: until-changed, feed: changes, position-header: true', {
      more: FEED,
    });
    expect((await scene.get('/', { fields })).path.slice(0, path.length)).toEqual(path);
  });
});

describe('a stored entry', () => {
  it('is fetched where it is missing, and then served from memory', async () => {
    const { get, origin } = await machine(HEADERS);
    expect(await get('/')).toMatchObject({ body: 'one', path: [...MISS, 'serve-fetched'] });
    expect(await get('/')).toMatchObject({ body: 'one', path: [...TO_LOOKUP, 'decide', 'serve'] });
    expect(origin.requests).toHaveLength(1);
  });

  it('is not used where it does not meet the client’s condition, which the origin evaluates', async () => {
    const { get } = await machine(HEADERS);
    await get('/');
    const answer = await get('/', UNMET, { status: 412 });
    expect(answer).toMatchObject({ status: 412, path: [...TO_LOOKUP, 'decide', 'serve', 'private-fetch'] });
  });

  it('is confirmed once it is stale', async () => {
    const { get, clock } = await machine(HEADERS);
    await get('/');
    clock.now += 61_000;
    const answer = await get('/', {}, CONFIRMED);
    expect(answer).toMatchObject({
      body: 'one',
      path: [...TO_DECISION, 'ask-origin', 'fetch', 'serve-fetched'],
    });
  });

  it('is served stale while it is revalidated', async () => {
    const { get, clock } = await machine(HEADERS);
    await get('/', {}, STALE('stale-while-revalidate=60'));
    clock.now += 2_000;
    const answer = await get('/', {}, STALE('stale-while-revalidate=60'));
    expect(answer).toMatchObject({ body: 'one', path: [...TO_DECISION, 'serve-stale'] });
    clock.now += 2_000;
    const unmet = await get('/', UNMET, { status: 412 });
    expect(unmet).toMatchObject({ status: 412, path: [...TO_DECISION, 'serve-stale', 'private-fetch'] });
  });

  it('is bypassed while its feed is lost', async () => {
    const { get, setFeed } = await machine(
      'freshness: until-changed, feed: changes, on-feed-loss: bypass, client-directives: honor',
      { more: 'feeds: { changes: { type: sse, url: "http://shop/changes", map: [] } }' },
    );
    setFeed('live');
    await get('/');
    setFeed('lost');
    const path = [...TO_LOOKUP, 'decide', 'private-fetch'];
    expect(await get('/')).toMatchObject({ status: 200, path });
    expect(await get('/', ONLY_IF_CACHED)).toMatchObject({ status: 504, path: [...path, 'refuse'] });
  });
});

describe('an entry that another worker has stored', () => {
  it('is served, and fetched where that worker has none', async () => {
    const { get, ask, answerAll, clock } = await machine(HEADERS, { workers: 2 });
    expect(await get('/')).toMatchObject({
      path: [...TO_LOOKUP, 'ask-peer', 'ask-origin', 'fetch', 'serve-fetched'],
    });
    const other = ask(0, '/?other');
    await answerAll(() => FRESH);
    await other;
    clock.now += 61_000;
    const answer = await get('/', {}, CONFIRMED);
    expect(answer.path.slice(0, 6)).toEqual([...TO_LOOKUP, 'decide', 'look-further', 'ask-peer']);
  });

  it('is judged like an entry of this worker', async () => {
    const { get, ask, answerAll } = await machine(HEADERS, { workers: 2 });
    const first = ask(0, '/');
    await answerAll(() => FRESH);
    await first;
    await settle();
    expect(await get('/')).toMatchObject({
      body: 'one',
      path: [...TO_LOOKUP, 'ask-peer', 'decide', 'serve'],
    });
  });
});

describe('the origin', () => {
  it('is not asked for a request with only-if-cached', async () => {
    const { get } = await machine(HEADERS);
    expect(await get('/', ONLY_IF_CACHED)).toMatchObject({
      status: 504,
      path: [...TO_LOOKUP, 'ask-origin', 'refuse'],
    });
  });

  it('is asked for one client alone where it has to evaluate a condition', async () => {
    const { get } = await machine(HEADERS);
    expect((await get('/', MET)).path).toEqual([...TO_LOOKUP, 'ask-origin', 'private-fetch']);
  });

  it('is asked for one client alone after a response that must not be shared', async () => {
    const { get } = await machine(HEADERS);
    const answer = { fields: ['Cache-Control', 'no-store'], body: 'mine' };
    expect(await get('/', {}, answer)).toMatchObject({ body: 'mine', path: [...MISS, 'relay'] });
    expect(await get('/', {}, answer)).toMatchObject({ body: 'mine', path: [...MISS, 'private-fetch'] });
  });
});

describe('a fetched response', () => {
  it('is not used where it does not meet the client’s condition, which the origin evaluates', async () => {
    const { get } = await machine(HEADERS);
    // Requests with such a condition are not collapsed, so this one gets the condition while it waits.
    const fields: string[] = [];
    const answer = await get('/', { fields }, () => {
      if (fields.length > 0) return { status: 412 };
      fields.push('If-Match', '"2"');
      return FRESH;
    });
    expect(answer).toMatchObject({ status: 412, path: [...MISS, 'serve-fetched', 'private-fetch'] });
  });

  it('reaches the other clients if serving one of them throws, and only that one is cut', async () => {
    const fault = new Error('can not be served');
    const logged: unknown[] = [];
    let served = 0;
    const { ask, answerAll } = await startWorkers(1, HEADERS, '', (deps) => ({
      ...deps,
      log: Object.assign(Object.create(deps.log), { error: ({ err }: { err: unknown }) => logged.push(err) }),
      onTransition(_from, to) {
        if (to !== 'serve-fetched') return;
        served += 1;
        if (served === 1) throw fault;
      },
    }));
    const clients = [ask(0, '/'), ask(0, '/'), ask(0, '/')];
    await answerAll(() => FRESH);
    expect((await Promise.all(clients)).map(({ status, body }) => [status, body])).toEqual([
      [0, ''],
      [200, 'one'],
      [200, 'one'],
    ]);
    expect(logged).toEqual([fault]);
  });
});

describe('a failure of the origin', () => {
  const SIE = 'stale-if-error=600';

  it('is answered by an error response where no entry can stand in', async () => {
    const { get } = await machine(HEADERS);
    expect(await get('/', {}, FAILURE)).toMatchObject({ status: 502, path: [...MISS, 'refuse'] });
  });

  it.each<[string, OriginResult]>([
    ['a connection failure', FAILURE],
    ['a 503', { status: 503 }],
  ])('is answered by a stale entry: %s', async (_, result) => {
    const { get, clock } = await machine(HEADERS);
    await get('/', {}, STALE(SIE));
    clock.now += 2_000;
    const path = [...TO_DECISION, 'ask-origin', 'fetch', 'stand-in'];
    expect(await get('/', {}, result)).toMatchObject({ status: 200, body: 'one', path });
  });

  it('is answered by a stale entry also where the origin was asked for one client alone', async () => {
    const { get, clock } = await machine(HEADERS);
    await get('/', {}, STALE(SIE));
    clock.now += 2_000;
    const path = [...TO_DECISION, 'ask-origin', 'private-fetch', 'stand-in'];
    expect(await get('/', MET, FAILURE)).toMatchObject({ status: 200, body: 'one', path });
    expect(await get('/', UNMET, FAILURE)).toMatchObject({ status: 502, path: [...path, 'private-fetch'] });
  });
});

describe('an entry whose content on disk is found damaged', () => {
  /** Stores the response to a first request. After `reads` more reads the content is gone. */
  async function damaged(answer: OriginResult, reads: number, laterMs: number) {
    const disk = new FailingDisk();
    const scene = await machine(HEADERS, {
      more: 'cache: { memory: 0 }',
      change: (deps) => ({ ...deps, disk: { tier: disk, corrupt: () => 0 } }),
    });
    await scene.get('/', {}, answer);
    await settle();
    disk.readsLeft = reads;
    scene.clock.now += laterMs;
    return scene;
  }

  it('is a miss where it was fresh', async () => {
    const { get } = await damaged(FRESH, 1, 0);
    const path = [
      ...TO_LOOKUP,
      'decide',
      'serve',
      'discard',
      'lookup',
      'ask-origin',
      'fetch',
      'serve-fetched',
    ];
    expect(await get('/')).toMatchObject({ status: 200, body: 'one', path });
  });

  it.each<[string, OriginResult, number, OriginResult, string[]]>([
    ['was to be served stale', STALE('stale-while-revalidate=60'), 1, FRESH, ['serve-stale']],
    ['was to stand in', STALE('stale-if-error=600'), 1, FAILURE, ['ask-origin', 'fetch', 'stand-in']],
  ])('is a miss where it %s', async (_, stored, reads, answer, then) => {
    const { get } = await damaged(stored, reads, 2_000);
    const path = [...TO_DECISION, ...then, 'discard', 'lookup', 'ask-origin'];
    expect((await get('/', {}, answer)).path.slice(0, path.length)).toEqual(path);
  });

  it('is fetched for the client alone where a 304 had just confirmed it', async () => {
    const { get, origin } = await damaged(FRESH, 2, 61_000);
    const answer = await get('/', {}, ({ fields }) =>
      fieldValue(fields, 'if-none-match') === undefined ? FRESH : CONFIRMED,
    );
    const path = [...TO_DECISION, 'ask-origin', 'fetch', 'serve-fetched', 'discard', 'private-fetch'];
    expect(answer).toMatchObject({ status: 200, body: 'one', path });
    expect(origin.requests).toHaveLength(3);
  });
});

it('every transition is taken by a test above', () => {
  const listed = Object.entries(STEPS).flatMap(([from, next]) => next.map((to) => `${from} → ${to}`));
  expect(listed.filter((transition) => !seen.has(transition))).toEqual([]);
});

/** A disk that keeps the heads of entries when their content can no longer be read. */
class FailingDisk implements DiskTier {
  readsLeft = Infinity;
  readonly #heads = new Map<string, EntryHead>();
  readonly #contents = new Map<string, Buffer>();

  find(key: string): DiskEntry[] {
    return this.heads(key).map((head) => ({ head, content: null }));
  }

  heads(key: string): EntryHead[] {
    return [...this.#heads.values()].filter((head) => head.key === key);
  }

  underWay(): DiskEntry[] {
    return [];
  }

  isUnderWayElsewhere(): boolean {
    return false;
  }

  read({ id }: ContentOnDisk, position: number): Uint8Array | null {
    this.readsLeft -= 1;
    return this.readsLeft < 0 ? null : (this.#contents.get(id)?.subarray(position) ?? null);
  }

  pin(): () => void {
    return () => {};
  }

  begin(id: string) {
    let content = Buffer.alloc(0);
    let onStored = (_length: number): void => {};
    return {
      append: (bytes: Uint8Array) => {
        content = Buffer.concat([content, bytes]);
        this.#contents.set(id, content);
        onStored(content.length);
      },
      onStored(listener: (length: number) => void) {
        onStored = listener;
      },
      commit: (head: EntryHead) => {
        this.#heads.set(head.id, head);
        return Promise.resolve(true);
      },
      abort() {},
    };
  }

  update(head: EntryHead): Promise<void> {
    this.#heads.set(head.id, head);
    return Promise.resolve();
  }

  updateSynced(head: EntryHead): Promise<boolean> {
    this.#heads.set(head.id, head);
    return Promise.resolve(true);
  }

  remove(_key: string, id: string): Promise<boolean> {
    this.#heads.delete(id);
    return Promise.resolve(true);
  }

  discard(_key: string, id: string): Promise<void> {
    this.#heads.delete(id);
    return Promise.resolve();
  }

  hide(id: string): void {
    this.#heads.delete(id);
  }

  touch(): void {}
}
