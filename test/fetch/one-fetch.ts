/**
 * Fetches one after the other, over a store, a fence and an origin that the test controls.
 *
 *     const world = await openFetchWorld('default-ttl: 60s');     // a route's `cache` keys
 *     const one = world.begin();
 *     one.origin.onHead(200, ['ETag', '"1"']);
 *     one.origin.onData(Buffer.from('content'));
 *     one.origin.onEnd([]);
 *     one.path;                        // the states that it has taken
 *     one.results;                     // what it has delivered
 */
import type { Origin, OriginHandler, OriginRequest } from '../../origin-adapters/origin.ts';
import { Fence } from '../../proxy/fence/fence.ts';
import { SharedWords } from '../../proxy/fence/layout.ts';
import { FenceReader } from '../../proxy/fence/reader.ts';
import { OriginFetch } from '../../proxy/fetch/fetch.ts';
import type { OriginFetchCounters } from '../../proxy/fetch/fetch-context.ts';
import type { FetchRequest } from '../../proxy/fetch/fetch-request.ts';
import type { FlightResult } from '../../proxy/fetch/flight-result.ts';
import type { FetchState } from '../../proxy/fetch/machine.ts';
import { ALL_MECHANISMS } from '../../proxy/mechanisms.ts';
import { compileConfiguration } from '../../proxy/origins/active-route.ts';
import type { FlightBody } from '../../proxy/store/body.ts';
import { Learner } from '../../proxy/store/learner.ts';
import { createMemoryTier } from '../../proxy/store/memory.ts';
import { Tiers } from '../../proxy/store/tiers.ts';
import { configOf } from '../config/load.ts';
import { setClock, type SetClock } from '../fence/given.ts';
import { MemoryState } from '../support/memory-state.ts';

type At = FetchState['at'];

export interface OneFetch {
  readonly fetch: OriginFetch;
  /** The handler of its last request, through which the test sends the origin's events. */
  readonly origin: OriginHandler;
  readonly path: readonly At[];
  readonly results: readonly FlightResult[];
  /** How often it has ended. */
  readonly ended: number;
}

export interface FetchWorld {
  readonly clock: SetClock;
  readonly tiers: Tiers;
  readonly counters: OriginFetchCounters;
  /** The requests to the origin. */
  readonly sent: readonly OriginRequest[];
  /** The causes that the origin got for aborted requests. */
  readonly aborted: readonly (string | undefined)[];
  /** From now on publications to other workers wait until the test opens them, or fail. */
  holdPublications(): { open(): Promise<void>; fail(): Promise<void> };
  /** From now on the origin answers while a request is being sent. */
  answerAtOnce(answer: (handler: OriginHandler) => void): void;
  begin(request?: Partial<FetchRequest>): OneFetch;
}

export async function openFetchWorld(
  cache = '',
  onTransition: (from: At, to: At) => void = () => {},
  maxObjectBytes = 1_000,
): Promise<FetchWorld> {
  const clock = setClock();
  const config = configOf(`
    origins: { shop: { url: "http://shop" } }
    routes: [{ name: all, match: /*, cache: { ${cache} } }]`);
  const fence = await Fence.open(1_000, {
    state: new MemoryState(),
    clock,
    mechanisms: ALL_MECHANISMS,
    block: 100,
  });
  const reader = new FenceReader(new SharedWords(fence.buffer), clock, ALL_MECHANISMS);
  const sent: OriginRequest[] = [];
  const aborted: (string | undefined)[] = [];
  let handler: OriginHandler | null = null;
  let atOnce: (to: OriginHandler) => void = () => {};
  const origin: Origin = {
    name: 'shop',
    stats: { requests: 0, failures: 0, retries: 0, abandoned: 0, running: 0, queued: 0 },
    send(request, to) {
      sent.push(request);
      handler = to;
      atOnce(to);
      return { pause: () => {}, resume: () => {}, abort: (cause) => void aborted.push(cause) };
    },
    upgrade: () => {
      throw new Error('not used by the tests');
    },
    close: async () => {},
  };
  const route = compileConfiguration(config, new Map([['shop', origin]])).routes.get('all')!;
  const tiers = new Tiers(createMemoryTier(2 ** 20, 1), null, () => route.config.cache);
  let published = Promise.resolve();
  const shared = {
    tiers,
    fence: reader,
    clock,
    routeNamed: () => route,
    trustOf: () => 'live' as const,
    outdateCopies: <Head>(head: Head) => published.then(() => head),
    tellPeers: () => published,
    shareLesson: () => published,
  };
  const counters = { tagsLeftOut: 0, conditionsRefused: 0 };
  let ids = 0;
  return {
    clock,
    tiers,
    counters,
    sent,
    aborted,
    holdPublications() {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      published = promise;
      const settled = async (): Promise<void> => {
        published = Promise.resolve();
        await turn();
      };
      return {
        open() {
          resolve();
          return settled();
        },
        fail() {
          reject(new Error('the other workers can not be reached'));
          return settled();
        },
      };
    },
    answerAtOnce(answer) {
      atOnce = answer;
    },
    begin(request = {}) {
      const path: At[] = ['start'];
      const results: FlightResult[] = [];
      const one = { path, results, ended: 0 };
      const fetch = new OriginFetch(
        {
          ...shared,
          learner: new Learner(shared),
          mechanisms: ALL_MECHANISMS,
          windowBytes: 100,
          maxObjectBytes,
          newEntryId: () => (ids += 1).toString(16).padStart(16, '0'),
          feedOf: () => null,
          originHead: () => {},
          onInternalError: (error) => {
            throw error;
          },
        },
        route,
        { ...REQUEST, ...request },
        {
          inform: () => {},
          deliver: (result) => {
            results.push(result);
            if ('body' in result && result.body !== null) result.body.reader(0, () => {});
          },
          over: () => {
            one.ended += 1;
          },
        },
        counters,
        (from, to) => {
          path.push(to);
          onTransition(from, to);
        },
      );
      fetch.start();
      return Object.assign(one, {
        fetch,
        get origin() {
          return handler!;
        },
      });
    },
  };
}

const REQUEST: FetchRequest = {
  key: 'shop\n\n/a',
  route: 'all',
  method: 'GET',
  path: '/a',
  query: '',
  authority: 'shop',
  scheme: 'http',
  request: { method: 'GET', fields: [], written: [] },
  originFields: [],
  asksPart: false,
  routeTags: [],
  priority: 'client',
  hasStored: false,
};

/** The bytes of a body that can be read from its beginning. */
export function textOf(body: FlightBody): string {
  const reader = body.reader(0, () => {});
  let text = '';
  for (let piece = reader.next(); piece.kind === 'bytes'; piece = reader.next()) {
    text += Buffer.from(piece.bytes).toString();
    reader.advance(piece.bytes.byteLength);
  }
  reader.close();
  return text;
}

/** Resolves after everything that is ready has run. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
