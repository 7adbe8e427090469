import type { Tiers } from '../../store/tiers.ts';
import { StoredEntry } from '../../store/entry.ts';
import type { ActiveRoute } from '../../origins/active-route.ts';
import { FlightBody } from '../../store/body.ts';
import type { FetchEvents, FlightResult } from '../flight-result.ts';
import type { PeerMessage } from './messages.ts';
import { EntryWriter } from '../../store/entry-writer.ts';
import type { FetchRequest } from '../fetch-request.ts';

export interface PeerFetchClientDependencies {
  readonly tiers: Tiers;
  readonly windowBytes: number;
  readonly maxObjectBytes: number;
}

export interface PeerFetchRequest {
  readonly id: number;
  readonly request: FetchRequest;
  readonly route: ActiveRoute;
  readonly arrival: number;
  readonly arrivedAtMs: number;
  readonly waitsSinceMs: number;
}

/** What the client waits for. Each message is read by the state in which it comes. */
type ClientState =
  /** The response's head, or why there is none. */
  | { readonly at: 'head' }
  /** `writer` is null where this worker's memory does not take the entry, and for a response that is passed on. */
  | { readonly at: 'content'; readonly body: FlightBody; readonly writer: EntryWriter | null }
  /** Nothing: the fetch is finished here. */
  | { readonly at: 'over' };

/** The subscriber's side of a flight in another worker: its messages feed a flight here, as an origin's response would. */
export class PeerFetchClient {
  readonly #deps: PeerFetchClientDependencies;
  readonly #asked: PeerFetchRequest;
  readonly #events: FetchEvents;
  readonly #send: (message: PeerMessage) => void;
  readonly #credit: Credit;
  #state: ClientState = { at: 'head' };

  constructor(
    deps: PeerFetchClientDependencies,
    asked: PeerFetchRequest,
    events: FetchEvents,
    send: (message: PeerMessage) => void,
  ) {
    this.#deps = deps;
    this.#asked = asked;
    this.#events = events;
    this.#send = send;
    this.#credit = new Credit(deps.windowBytes, (bytes) => {
      if (this.#state.at === 'content') send({ kind: 'credit', id: asked.id, bytes });
    });
  }

  start(): void {
    const { id, request, arrival, arrivedAtMs, waitsSinceMs } = this.#asked;
    this.#send({ kind: 'join', id, fetch: request, arrival, arrivedAtMs, waitsSinceMs });
  }

  abandon(): void {
    if (this.#state.at === 'over') return;
    this.#send({ kind: 'leave', id: this.#asked.id });
    this.#cut();
  }

  /** The worker that runs the flight has ended. */
  lost(): void {
    if (this.#state.at === 'head') this.#conclude({ kind: 'owner-lost' });
    else this.#cut();
  }

  receive(message: PeerMessage): void {
    const state = this.#state;
    switch (state.at) {
      case 'head':
        this.#receiveHead(message);
        return;
      case 'content':
        this.#receiveContent(message, state);
        return;
      case 'over':
        return;
      default:
        state satisfies never;
    }
  }

  #receiveHead(message: PeerMessage): void {
    switch (message.kind) {
      case 'inform':
        this.#events.inform(message.status, message.fields);
        return;
      case 'entry':
        this.#receiveEntry(message);
        return;
      case 'pass': {
        const body = this.#newBody({ keepsAll: false, isStored: false });
        this.#state = { at: 'content', body, writer: null };
        this.#events.deliver({ ...message, kind: 'pass', body });
        this.#credit.begin();
        return;
      }
      case 'moved':
        this.#conclude({ kind: 'owner-moved' });
        return;
      case 'private':
        this.#conclude({ kind: 'private', reason: message.reason });
        return;
      case 'failed': {
        const { scope, untilMs } = message;
        const failure = { ...message.failure, cause: null };
        this.#conclude({ kind: 'failed', failure, judged: { scope, untilMs } });
        return;
      }
      case 'failing': {
        const { status, scope, untilMs } = message;
        this.#conclude({ kind: 'failing', status, judged: { scope, untilMs } });
        return;
      }
      case 'refused':
        this.#conclude({ kind: 'refused', limit: message.limit });
        return;
      case 'data':
      case 'stored':
      case 'end':
      case 'cut':
      case 'join':
      case 'credit':
      case 'leave':
        return;
      default:
        message satisfies never;
    }
  }

  #receiveContent(message: PeerMessage, { body, writer }: ClientState & { readonly at: 'content' }): void {
    switch (message.kind) {
      case 'data':
        this.#credit.owe(message.bytes.byteLength);
        body.append(message.bytes);
        writer?.append(message.bytes);
        this.#credit.grantOwed();
        // An endless response must not go on once it has no reader and is not stored.
        body.desertIfUnread();
        return;
      case 'stored':
        if (message.length > 0) body.storedUpTo(message.length);
        else body.stopStoring();
        return;
      case 'end':
        if (writer !== null) writer.finish(message.trailers);
        else {
          body.end(message.trailers);
          this.#over();
        }
        return;
      case 'cut':
        this.#cut();
        return;
      case 'inform':
      case 'entry':
      case 'pass':
      case 'moved':
      case 'private':
      case 'failed':
      case 'failing':
      case 'refused':
      case 'join':
      case 'credit':
      case 'leave':
        return;
      default:
        message satisfies never;
    }
  }

  #receiveEntry(message: PeerMessage & { readonly kind: 'entry' }): void {
    const { head, originStatus, collapsed, ownFields } = message;
    const { tiers, maxObjectBytes } = this.#deps;
    const { maxVariants } = this.#asked.route.config.cache;
    const result = { kind: 'entry', originStatus, collapsed, ownFields } as const;
    if (head.id === '') {
      this.#conclude({ ...result, entry: new StoredEntry(head, null, tiers.sentFieldsOf(head)), body: null });
      return;
    }
    const known = tiers.memory.get(head.key).find((entry) => entry.head.id === head.id);
    const content = known?.content ?? null;
    if (content !== null || !message.streams) {
      const entry = new StoredEntry(head, content, tiers.sentFieldsOf(head));
      // With this entry's content in memory only the head changes; otherwise the entry replaces an earlier one.
      if (content !== null) tiers.updateMemory(head);
      else tiers.keep(entry, maxVariants);
      this.#events.deliver({ ...result, entry, body: null });
      this.abandon();
      return;
    }
    const writer = EntryWriter.begin(head, {
      tiers,
      maxObjectBytes,
      maxVariants,
      toDisk: false,
      newEntryId: null,
      over: () => this.#over(),
    });
    const isStored = message.stores && tiers.disk !== null;
    const body = this.#newBody({ keepsAll: writer?.inMemory ?? false, isStored });
    writer?.attach(body);
    this.#state = { at: 'content', body, writer };
    const entry = writer?.entry ?? new StoredEntry(head, null, tiers.sentFieldsOf(head));
    this.#events.deliver({ ...result, entry, body });
    this.#credit.begin();
  }

  #newBody(kind: { readonly keepsAll: boolean; readonly isStored: boolean }): FlightBody {
    return new FlightBody({
      windowBytes: this.#deps.windowBytes,
      ...kind,
      pause: () => this.#credit.pause(),
      resume: () => this.#credit.resume(),
      onDeserted: () => this.abandon(),
    });
  }

  /** Delivers a result after which no content comes. */
  #conclude(result: FlightResult): void {
    this.#events.deliver(result);
    this.#over();
  }

  /** Breaks off what has come so far. */
  #cut(): void {
    if (this.#state.at === 'content') {
      const { body, writer } = this.#state;
      writer?.abort();
      body.fail();
    }
    this.#over();
  }

  #over(): void {
    if (this.#state.at === 'over') return;
    this.#state = { at: 'over' };
    this.#events.over();
  }
}

/** Credit is granted in pieces of at least the window divided by this. */
const GRANTS_A_WINDOW = 4;

/** The bytes that the owner may send: the window at first, then what has come, unless the window is full. */
class Credit {
  readonly #windowBytes: number;
  readonly #grant: (bytes: number) => void;
  #owedBytes = 0;
  #isPaused = false;

  constructor(windowBytes: number, grant: (bytes: number) => void) {
    this.#windowBytes = windowBytes;
    this.#grant = grant;
  }

  begin(): void {
    this.#grant(this.#windowBytes);
  }

  owe(bytes: number): void {
    this.#owedBytes += bytes;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.grantOwed();
  }

  /** Grants large pieces only: after a small grant the owner sends a small chunk, which would cause a small grant again. */
  grantOwed(): void {
    const bytes = this.#owedBytes;
    if (this.#isPaused || bytes < this.#windowBytes / GRANTS_A_WINDOW) return;
    this.#owedBytes = 0;
    this.#grant(bytes);
  }
}
