import type { Fields } from '../../policies/http/fields.ts';
import type { OriginFailure, OriginHandler } from '../../origin-adapters/origin.ts';
import type { TagHashes } from '../fence/tag-hash.ts';
import type { ActiveRoute } from '../origins/active-route.ts';
import { FetchContext, type OriginFetchCounters, type OriginFetchDependencies } from './fetch-context.ts';
import type { FetchRequest } from './fetch-request.ts';
import type { FetchEvents } from './flight-result.ts';
import type { FetchEvent, FetchState, FetchStateAt, NextFetchState } from './machine.ts';
import type { FetchSnapshot } from './snapshot.ts';
import { complete } from './states/complete.ts';
import { confirm } from './states/confirm.ts';
import { judgeHead } from './states/head.ts';
import { passPrivately } from './states/private.ts';
import { start } from './states/start.ts';
import { storable } from './states/storable.ts';

/**
 * Asks the origin on behalf of a flight: validates stored entries or fetches a response, stores the response while it
 * streams, and commits the entry only when the body is complete. Runs the states of `machine.ts`.
 */
export class OriginFetch implements OriginHandler {
  /** What each state does. */
  static readonly #STATES: { readonly [At in FetchState['at']]: Run<At> } = {
    start: (fetch) => start(fetch.#context),
    head(fetch, { asked }) {
      fetch.#context.send(asked.conditions, fetch);
      return null;
    },
    confirm: (fetch, state) => confirm(fetch.#context, state),
    complete: (fetch, state) => complete(fetch.#context, state),
    storable: (fetch, state) => storable(fetch.#context, state),
    private: (fetch, state) => passPrivately(fetch.#context, state),
    publish(fetch, state) {
      const { content } = state;
      content?.hold();
      state.until.then(
        (next) => fetch.#on({ kind: 'published', by: state, next }),
        (cause: unknown) => {
          const failure = { ...NOT_PUBLISHED, cause };
          fetch.#on({ kind: 'published', by: state, next: { at: 'fail', failure, content } });
        },
      );
      return null;
    },
    deliver(fetch, { result, content }) {
      fetch.#context.events.deliver(result);
      return content === null ? END : { at: 'body', content };
    },
    body(_fetch, { content }) {
      content.release();
      return null;
    },
    store(_fetch, { content, trailers }) {
      content.store(trailers);
      return null;
    },
    retry(fetch, { asked }) {
      fetch.#context.abort();
      return { at: 'head', asked: { ...asked, ...NOTHING_ASKED } };
    },
    fail(fetch, { failure, content }) {
      fetch.#context.events.deliver({ kind: 'failed', failure, judged: null });
      return { at: 'cut', content };
    },
    abandon(fetch, { content }) {
      fetch.#context.abort('client-left');
      return { at: 'cut', content };
    },
    cut(_fetch, { content }) {
      content?.cut();
      return END;
    },
    end(fetch) {
      fetch.#context.events.over();
      return null;
    },
  };

  /** What follows an event in the states that wait for one. */
  static readonly #EVENTS: { readonly [At in WaitingState]: React<At> } = {
    head(fetch, { asked }, event) {
      switch (event.kind) {
        case 'head':
          return judgeHead(fetch.#context, asked, event.status, event.fields);
        case 'failure':
          return { at: 'fail', failure: event.failure, content: null };
        case 'abandoned':
          return { at: 'abandon', content: null };
        default:
          return null;
      }
    },
    publish(_fetch, state, event) {
      const { content } = state;
      switch (event.kind) {
        case 'published':
          return event.by === state ? event.next : null;
        // A response without content is complete with its head.
        case 'end':
          return content === null ? null : 'keep';
        case 'failure':
          return content === null ? null : { at: 'fail', failure: event.failure, content };
        case 'abandoned':
          return content?.writer ? null : { at: 'abandon', content };
        case 'deserted':
          return { at: 'abandon', content };
        default:
          return null;
      }
    },
    body(_fetch, { content }, event) {
      switch (event.kind) {
        case 'end':
          content.complete();
          if (content.writer !== null) return { at: 'store', content, trailers: event.trailers };
          content.end(event.trailers);
          return END;
        case 'failure':
          return { at: 'cut', content };
        case 'abandoned':
          return content.writer ? null : { at: 'abandon', content };
        case 'deserted':
          return { at: 'abandon', content };
        default:
          return null;
      }
    },
    store: (_fetch, _state, event) => (event.kind === 'stored' ? END : null),
  };

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

  /** The state when the origin was asked. */
  get snapshot(): FetchSnapshot {
    return this.#context.snapshot;
  }

  /** Tags of every response to this request. */
  get knownTags(): TagHashes {
    return this.#context.known.tagHashes;
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
    const run = OriginFetch.#STATES[state.at] as Run<FetchState['at']>;
    return run(this, state);
  }

  /** The state that follows the event; null: the current state goes on; `keep`: a later state takes the event. */
  #after(state: FetchState, event: FetchEvent): FetchState | 'keep' | null {
    if (event.kind === 'data') {
      this.#append(event.chunk);
      return null;
    }
    if (!(state.at in OriginFetch.#EVENTS)) return null;
    const react = OriginFetch.#EVENTS[state.at as WaitingState] as React<WaitingState>;
    return react(this, state as FetchStateAt<WaitingState>, event);
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
    // An endless response that is no longer stored must not go on without a reader.
    if (content.writer?.isLost === true) content.body.desertIfUnread();
  }
}

/** Runs a state; null: it waits for an event. */
type Run<At extends FetchState['at']> = (
  fetch: OriginFetch,
  state: FetchStateAt<At>,
) => NextFetchState<At> | null;

type WaitingState = 'head' | 'publish' | 'body' | 'store';

/** null: the event changes nothing; `keep`: a later state takes it. */
type React<At extends WaitingState> = (
  fetch: OriginFetch,
  state: FetchStateAt<At>,
  event: FetchEvent,
) => NextFetchState<At> | 'keep' | null;

const ABANDONED: FetchEvent = { kind: 'abandoned' };
const DESERTED: FetchEvent = { kind: 'deserted' };
const STORED: FetchEvent = { kind: 'stored' };
const END = { at: 'end' } as const;
const NOTHING_ASKED = { own: [], others: [], incomplete: null, conditions: [] } as const;

/** Whether other workers still serve what the response replaces is unknown. */
const NOT_PUBLISHED = {
  kind: 'proxy_internal_error',
  status: 502,
  message: 'the response could not be applied to stored entries',
  maybeProcessed: true,
} as const;
