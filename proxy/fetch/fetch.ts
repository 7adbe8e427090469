import type { Fields } from '../../policies/http/fields.ts';
import type { OriginFailure, OriginHandler } from '../../origin-adapters/origin.ts';
import type { TagHashes } from '../fence/tag-hash.ts';
import type { ActiveRoute } from '../routes/active-route.ts';
import { FetchContext, type OriginFetchCounters, type OriginFetchDependencies } from './fetch-context.ts';
import type { FetchRequest } from './fetch-request.ts';
import type { FetchEvents } from './flight-result.ts';
import type { FetchEvent, FetchState } from './machine.ts';
import type { FetchSnapshot } from './snapshot.ts';
import { complete } from './states/complete.ts';
import { confirm } from './states/confirm.ts';
import { judgeHead } from './states/head.ts';
import { passPrivately } from './states/private.ts';
import { start } from './states/start.ts';
import { storable } from './states/storable.ts';

/**
 * Asks the origin on behalf of a flight: validates what is stored, or fetches; stores the response while it streams, and
 * commits the entry only when the body is whole. Runs the states of `machine.ts`.
 */
export class OriginFetch implements OriginHandler {
  readonly #context: FetchContext;
  readonly #onTransition: ((from: FetchState['at'], to: FetchState['at']) => void) | null;
  #state: FetchState = { at: 'start' };
  #isRunning = false;
  /** Events that arrived while a state's function ran, or that the current state does not take, in order of arrival. */
  readonly #kept: FetchEvent[] = [];

  constructor(
    deps: OriginFetchDependencies,
    route: ActiveRoute,
    request: FetchRequest,
    events: FetchEvents,
    counters: OriginFetchCounters,
    onTransition: ((from: FetchState['at'], to: FetchState['at']) => void) | null = null,
  ) {
    this.#context = new FetchContext(deps, route, request, events, counters, {
      onDeserted: () => this.#on(DESERTED),
      onStored: () => this.#on(STORED),
    });
    this.#onTransition = onTransition;
  }

  /** When the origin was asked. */
  get snapshot(): FetchSnapshot {
    return this.#context.snapshot;
  }

  /** Tags of every response to this request. */
  get knownTags(): TagHashes {
    return this.#context.knownTags;
  }

  start(): void {
    this.#run(this.#state);
  }

  /** No waiter is left. A storable response is still stored. */
  abandon(): void {
    this.#on(ABANDONED);
  }

  onInformational(status: number, fields: Fields): void {
    this.#context.events.inform(status, fields);
  }

  onHead(status: number, fields: Fields): void {
    this.#context.noteHead();
    this.#on({ kind: 'head', status, fields });
  }

  /** Called for each chunk: allocates an event only while a state's function runs. */
  onData(chunk: Uint8Array): void {
    if (this.#isRunning) this.#kept.push({ kind: 'data', chunk });
    else this.#append(chunk);
  }

  onEnd(trailers: Fields): void {
    this.#on({ kind: 'end', trailers });
  }

  onFailure(failure: OriginFailure): void {
    this.#on({ kind: 'failure', failure });
  }

  #on(event: FetchEvent): void {
    this.#kept.push(event);
    if (!this.#isRunning) this.#run(null);
  }

  /** Runs states until one waits for an event. `first` is null to go on from the current state with the kept events. */
  #run(first: FetchState | null): void {
    this.#isRunning = true;
    try {
      let next = first === null ? this.#afterKept() : this.#take(first);
      while (next !== null) {
        this.#onTransition?.(this.#state.at, next.at);
        this.#state = next;
        next = this.#take(next) ?? this.#afterKept();
      }
    } finally {
      this.#isRunning = false;
    }
  }

  /** Runs a state and returns the next; null: the state waits for an event. */
  #take(state: FetchState): FetchState | null {
    const fetch = this.#context;
    switch (state.at) {
      case 'start':
        return start(fetch);
      case 'head':
        fetch.send(state.asked.conditions, this);
        return null;
      case 'confirm':
        return confirm(fetch, state);
      case 'complete':
        return complete(fetch, state);
      case 'storable':
        return storable(fetch, state);
      case 'private':
        return passPrivately(fetch, state);
      case 'publish':
        state.content?.hold();
        void state.until.then((next) => this.#on({ kind: 'published', by: state, next }));
        return null;
      case 'deliver':
        fetch.events.deliver(state.result);
        return state.content === null ? { at: 'end' } : { at: 'body', content: state.content };
      case 'body':
        state.content.release();
        return null;
      case 'store':
        state.content.store(state.trailers);
        return null;
      case 'retry':
        fetch.abort();
        return { at: 'head', asked: { ...state.asked, ...NOTHING_ASKED } };
      case 'fail':
        fetch.events.deliver({ kind: 'failed', failure: state.failure, judged: null });
        return { at: 'cut', content: state.content };
      case 'abandon':
        fetch.abort('client-left');
        return { at: 'cut', content: state.content };
      case 'cut':
        state.content?.cut();
        return { at: 'end' };
      case 'end':
        fetch.events.over();
        return null;
      default:
        return state satisfies never;
    }
  }

  /** The state that follows when the event happens; null: it changes nothing; `keep`: a later state takes it. */
  #after(state: FetchState, event: FetchEvent): FetchState | 'keep' | null {
    switch (event.kind) {
      case 'head':
        return state.at === 'head' ? judgeHead(this.#context, state.asked, event.status, event.fields) : null;
      case 'data':
        this.#append(event.chunk);
        return null;
      case 'end':
        if (state.at === 'publish') return state.content === null ? null : 'keep';
        return state.at === 'body' ? this.#ended(state, event.trailers) : null;
      case 'failure':
        if (state.at === 'head') return { at: 'fail', failure: event.failure, content: null };
        if (state.at === 'body') return { at: 'cut', content: state.content };
        // A response without content is whole at its head.
        if (state.at !== 'publish' || state.content === null) return null;
        return { at: 'fail', failure: event.failure, content: state.content };
      case 'abandoned':
        if (state.at === 'head') return { at: 'abandon', content: null };
        if (state.at !== 'publish' && state.at !== 'body') return null;
        return state.content?.writer ? null : { at: 'abandon', content: state.content };
      case 'deserted':
        if (state.at !== 'publish' && state.at !== 'body') return null;
        return { at: 'abandon', content: state.content };
      case 'published':
        return state === event.by ? event.next : null;
      case 'stored':
        return state.at === 'store' ? { at: 'end' } : null;
      default:
        return event satisfies never;
    }
  }

  /** The first of the kept events that leads to another state. */
  #afterKept(): FetchState | null {
    for (let at = 0; at < this.#kept.length;) {
      const next = this.#after(this.#state, this.#kept[at]!);
      if (next === 'keep') at += 1;
      else {
        this.#kept.splice(at, 1);
        if (next !== null) return next;
      }
    }
    return null;
  }

  #append(chunk: Uint8Array): void {
    const state = this.#state;
    if (state.at === 'publish') state.content?.append(chunk);
    if (state.at !== 'body') return;
    const { content } = state;
    content.append(chunk);
    // An endless response must not go on without a reader.
    if (content.writer?.isLost === true) content.body.desertIfUnread();
  }

  #ended({ content }: FetchState & { readonly at: 'body' }, trailers: Fields): FetchState {
    content.complete();
    if (content.writer !== null) return { at: 'store', content, trailers };
    content.end(trailers);
    return { at: 'end' };
  }
}

const ABANDONED: FetchEvent = { kind: 'abandoned' };
const DESERTED: FetchEvent = { kind: 'deserted' };
const STORED: FetchEvent = { kind: 'stored' };
const NOTHING_ASKED = { own: [], others: [], incomplete: null, conditions: [] } as const;
