import type { Tiers } from '../../store/tiers.ts';
import { StoredEntry } from '../../store/entry.ts';
import type { ActiveRoute } from '../../routes/active-route.ts';
import { FlightBody } from '../../store/body.ts';
import type { FetchEvents } from '../flight-result.ts';
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

/** Credit is granted in pieces of at least the window divided by this. */
const GRANTS_A_WINDOW = 4;

/** The subscriber's side of a flight in another worker: its messages feed a flight here, as an origin's response would. */
export class PeerFetchClient {
  readonly #deps: PeerFetchClientDependencies;
  readonly #asked: PeerFetchRequest;
  readonly #events: FetchEvents;
  readonly #send: (message: PeerMessage) => void;
  #body: FlightBody | null = null;
  #storing: EntryWriter | null = null;
  #hasHead = false;
  #isPaused = false;
  #owedBytes = 0;

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
  }

  start(): void {
    const { id, request, arrival, arrivedAtMs, waitsSinceMs } = this.#asked;
    this.#send({ kind: 'join', id, fetch: request, arrival, arrivedAtMs, waitsSinceMs });
  }

  abandon(): void {
    this.#send({ kind: 'leave', id: this.#asked.id });
    this.#storing?.abort();
    this.#body?.fail();
    this.#events.over();
  }

  /** The worker that runs the flight has ended. */
  lost(): void {
    if (this.#hasHead) this.#cut();
    else this.#events.deliver({ kind: 'owner-lost' });
    this.#events.over();
  }

  receive(message: PeerMessage): void {
    switch (message.kind) {
      case 'inform':
        this.#events.inform(message.status, message.fields);
        return;
      case 'entry':
        this.#deliverEntry(message);
        return;
      case 'pass': {
        const body = this.#newBody({ keepsAll: false, isStored: false });
        this.#hasHead = true;
        this.#events.deliver({ ...message, kind: 'pass', body });
        this.#grant(this.#deps.windowBytes);
        return;
      }
      case 'data':
        this.#receiveData(message.bytes);
        return;
      case 'stored':
        if (message.length > 0) this.#body?.storedUpTo(message.length);
        else this.#body?.stopStoring();
        return;
      case 'end':
        if (this.#storing !== null) this.#storing.finish(message.trailers);
        else {
          this.#body?.end(message.trailers);
          this.#events.over();
        }
        return;
      case 'cut':
        this.#cut();
        return;
      case 'private':
        this.#events.deliver({ kind: 'private', reason: message.reason });
        this.#events.over();
        return;
      case 'failed': {
        const { scope, untilMs } = message;
        const failure = { ...message.failure, cause: null };
        this.#events.deliver({ kind: 'failed', failure, judged: { scope, untilMs } });
        this.#events.over();
        return;
      }
      case 'failing': {
        const { status, scope, untilMs } = message;
        this.#events.deliver({ kind: 'failing', status, judged: { scope, untilMs } });
        this.#events.over();
        return;
      }
      case 'refused':
        this.#events.deliver({ kind: 'refused', limit: message.limit });
        this.#events.over();
        return;
      case 'join':
      case 'credit':
      case 'leave':
        return;
      default:
        message satisfies never;
    }
  }

  #deliverEntry(message: PeerMessage & { readonly kind: 'entry' }): void {
    const { head, originStatus, collapsed, ownFields } = message;
    const { tiers } = this.#deps;
    this.#hasHead = true;
    if (head.id === '') {
      const entry = new StoredEntry(head, null, tiers.sentFieldsOf(head));
      this.#events.deliver({ kind: 'entry', entry, body: null, originStatus, collapsed, ownFields });
      this.#events.over();
      return;
    }
    const known = tiers.memory.get(head.key).find((entry) => entry.head.id === head.id);
    const content = known?.content ?? null;
    if (content !== null || !message.streams) {
      const entry = new StoredEntry(head, content, tiers.sentFieldsOf(head));
      // With this entry's content in memory only the head changes; otherwise the entry replaces an earlier one.
      if (content !== null) tiers.updateMemory(head);
      else tiers.keep(entry, this.#asked.route.config.cache.maxVariants);
      this.#events.deliver({ kind: 'entry', entry, body: null, originStatus, collapsed, ownFields });
      this.abandon();
      return;
    }
    const storing = EntryWriter.begin(head, {
      tiers,
      maxObjectBytes: this.#deps.maxObjectBytes,
      maxVariants: this.#asked.route.config.cache.maxVariants,
      toDisk: false,
      newEntryId: null,
      over: this.#events.over,
    });
    const isStored = message.stores && tiers.disk !== null;
    const body = this.#newBody({ keepsAll: storing?.inMemory ?? false, isStored });
    storing?.attach(body);
    this.#storing = storing;
    const entry = storing?.entry ?? new StoredEntry(head, null, tiers.sentFieldsOf(head));
    this.#events.deliver({ kind: 'entry', entry, body, originStatus, collapsed, ownFields });
    this.#grant(this.#deps.windowBytes);
  }

  #newBody(kind: { readonly keepsAll: boolean; readonly isStored: boolean }): FlightBody {
    this.#body = new FlightBody({
      windowBytes: this.#deps.windowBytes,
      ...kind,
      pause: () => {
        this.#isPaused = true;
      },
      resume: () => {
        this.#isPaused = false;
        this.#grantOwed();
      },
      onDeserted: () => this.abandon(),
    });
    return this.#body;
  }

  #receiveData(bytes: Uint8Array): void {
    this.#owedBytes += bytes.byteLength;
    this.#body?.append(bytes);
    this.#storing?.append(bytes);
    this.#grantOwed();
    // An endless response must not go on once it has no reader and is not stored.
    this.#body?.desertIfUnread();
  }

  /** Grants large pieces only: after a small grant the owner sends a small chunk, which would cause a small grant again. */
  #grantOwed(): void {
    const bytes = this.#owedBytes;
    if (this.#isPaused || bytes < this.#deps.windowBytes / GRANTS_A_WINDOW) return;
    this.#owedBytes = 0;
    this.#grant(bytes);
  }

  #grant(bytes: number): void {
    this.#send({ kind: 'credit', id: this.#asked.id, bytes });
  }

  #cut(): void {
    this.#storing?.abort();
    this.#body?.fail();
    this.#events.over();
  }
}
