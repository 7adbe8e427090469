import type { MessagePort } from 'node:worker_threads';
import type { EntryHead } from '../../store/entry-head.ts';
import type { StoredEntry } from '../../store/entry.ts';
import type { KeyedHash } from '../../threads/keyed-hash.ts';
import type { ActiveRoute } from '../../origins/active-route.ts';
import type { FetchEvents } from '../flight-result.ts';
import type { FlightClaims, FlightPlaces } from '../flight-claims.ts';
import type { Lesson } from '../../store/learner.ts';
import { PeerLookups, type PeerLookupMessage, type PeerLookupRequest } from './lookups.ts';
import type { PeerMessage } from './messages.ts';
import { PeerFetchServer, type PeerFetchServerDependencies } from './server.ts';
import { PeerFetchClient, type PeerFetchClientDependencies } from './client.ts';
import type { FetchRequest } from '../fetch-request.ts';

/** The other workers, which run the flights that they have claimed. */
export type Peers = FlightPlaces<Peer>;

export interface Peer {
  /** Subscribes to a flight of the owner that satisfies `asked`. Returns the function that unsubscribes. */
  subscribe(request: FetchRequest, route: ActiveRoute, asked: Asked, events: FetchEvents): () => void;
  /** Asks for a stored entry, fresh or stale. Calls `take` once, with null if there is none. */
  lookUp(wanted: PeerLookupRequest, take: (entry: StoredEntry | null) => void): void;
}

/** When the request was made: the fence's sequence, monotonic time and wall clock. */
export interface Asked {
  readonly floor: number;
  readonly startedAtMs: number;
  readonly nowMs: number;
}

export interface PeerDependencies
  extends PeerFetchClientDependencies, Omit<PeerFetchServerDependencies, 'peers'> {
  /** null: the worker that a key's hash selects owns the key, and has its entries in memory where there is no disk. */
  readonly flightClaims: FlightClaims | null;
  /** The index of another worker that has an entry of the key which is not on disk yet; null: none has. */
  holderOf(key: string): number | null;
  /** Applies another worker's lesson to the entries that this worker alone may have. Never rejects. */
  learnInMemory(lesson: Lesson): Promise<void>;
}

/** The ports to the other workers. `index` identifies this worker; its replacement has the same index. */
export class PeerPorts implements Peers {
  readonly #index: number;
  readonly #count: number;
  readonly #hash: KeyedHash;
  readonly #deps: PeerDependencies;
  readonly #links: (PeerLink | null)[];

  constructor(index: number, count: number, hash: KeyedHash, deps: PeerDependencies) {
    this.#index = index;
    this.#count = count;
    this.#hash = hash;
    this.#deps = deps;
    this.#links = Array.from({ length: count }, () => null);
  }

  /** Sets the port to the worker at `index` and closes an earlier one. */
  connect(index: number, port: MessagePort): void {
    this.#links[index]?.close();
    const link = new PeerLink(port, { ...this.#deps, peers: this }, () => {
      if (this.#links[index] === link) this.#links[index] = null;
    });
    this.#links[index] = link;
  }

  /** The worker that owns the key by its hash; null: this one, which also stands in while the owner is being replaced. */
  ownerOf(key: string): Peer | null {
    const owner = this.#hash.hash(key) % this.#count;
    return owner === this.#index ? null : this.at(owner);
  }

  claimFlight(key: string): Peer | 'claimed' | 'unclaimed' {
    const { flightClaims, holderOf } = this.#deps;
    if (flightClaims === null) return this.ownerOf(key) ?? 'unclaimed';
    const claimer = flightClaims.claim(key);
    if (typeof claimer === 'number') return this.at(claimer) ?? 'unclaimed';
    if (claimer === 'own') return 'claimed';
    // A flight of another worker may have ended since this one looked for the entry: it may have what was stored.
    const holder = holderOf(key);
    const peer = holder === null ? null : this.at(holder);
    if (peer === null) return 'claimed';
    flightClaims.release(key);
    return peer;
  }

  releaseFlight(key: string): void {
    this.#deps.flightClaims?.release(key);
  }

  /** null: there is no such worker, or it is being replaced. */
  at(index: number): Peer | null {
    return this.#links[index] ?? null;
  }

  /** Sends an entry's new head to the workers that may have copies of the entry. Resolves when all have confirmed. */
  async tell(head: EntryHead): Promise<void> {
    await Promise.all(this.#links.map((link) => link?.tell(head)));
  }

  /** Sends the lesson of an origin's response to the other workers. Resolves when all have applied it. */
  async shareLesson(lesson: Lesson): Promise<void> {
    await Promise.all(this.#links.map((link) => link?.shareLesson(lesson)));
  }

  close(): void {
    for (const link of this.#links) link?.close();
  }
}

type PeerLinkDependencies = PeerDependencies & PeerFetchServerDependencies;

/** One port with the subscriptions of both directions. */
class PeerLink implements Peer {
  readonly #port: MessagePort;
  readonly #deps: PeerLinkDependencies;
  readonly #clients = new Map<number, PeerFetchClient>();
  readonly #servers = new Map<number, PeerFetchServer>();
  readonly #lookups: PeerLookups;
  /** Messages that the other worker has not confirmed yet. */
  readonly #unconfirmed = new Map<number, () => void>();
  #next = 0;

  constructor(port: MessagePort, deps: PeerLinkDependencies, onClosed: () => void) {
    this.#port = port;
    this.#deps = deps;
    this.#lookups = new PeerLookups(deps.tiers, (message, transfer) =>
      port.postMessage({ to: 'lookups', message }, transfer ?? []),
    );
    port.on('message', (envelope: PeerEnvelope) => {
      this.#receive(envelope);
    });
    port.on('close', () => {
      onClosed();
      this.#lost();
    });
  }

  subscribe(request: FetchRequest, route: ActiveRoute, asked: Asked, events: FetchEvents): () => void {
    this.#next += 1;
    const id = this.#next;
    const client = new PeerFetchClient(
      this.#deps,
      {
        id,
        request,
        route,
        arrival: asked.floor,
        arrivedAtMs: asked.nowMs,
        waitsSinceMs: asked.startedAtMs,
      },
      {
        ...events,
        over: () => {
          this.#clients.delete(id);
          events.over();
        },
      },
      (message) => this.#port.postMessage({ to: 'server', message }),
    );
    this.#clients.set(id, client);
    client.start();
    return () => client.abandon();
  }

  lookUp(wanted: PeerLookupRequest, take: (entry: StoredEntry | null) => void): void {
    this.#lookups.ask(wanted, take);
  }

  tell(head: EntryHead): Promise<void> {
    return this.#untilKnown((id) => ({ to: 'tiers', id, head }));
  }

  shareLesson(lesson: Lesson): Promise<void> {
    return this.#untilKnown((id) => ({ to: 'learner', id, lesson }));
  }

  close(): void {
    this.#port.close();
  }

  #untilKnown(envelopeOf: (id: number) => PeerEnvelope): Promise<void> {
    this.#next += 1;
    const id = this.#next;
    return new Promise((known) => {
      this.#unconfirmed.set(id, known);
      this.#port.postMessage(envelopeOf(id));
    });
  }

  #receive(envelope: PeerEnvelope): void {
    switch (envelope.to) {
      case 'server':
        this.#asked(envelope.message);
        return;
      case 'client':
        this.#clients.get(envelope.message.id)?.receive(envelope.message);
        return;
      case 'lookups':
        this.#lookups.receive(envelope.message);
        return;
      case 'tiers':
        this.#deps.tiers.updateMemory(envelope.head);
        this.#port.postMessage({ to: 'sender', id: envelope.id });
        return;
      case 'learner':
        void this.#deps
          .learnInMemory(envelope.lesson)
          .then(() => this.#port.postMessage({ to: 'sender', id: envelope.id }));
        return;
      case 'sender':
        this.#known(envelope.id);
        return;
      default:
        envelope satisfies never;
    }
  }

  #known(id: number): void {
    this.#unconfirmed.get(id)?.();
    this.#unconfirmed.delete(id);
  }

  #asked(message: PeerMessage): void {
    if (message.kind !== 'join') {
      this.#servers.get(message.id)?.receive(message);
      return;
    }
    const server = new PeerFetchServer(
      this.#deps,
      message,
      (answer, transfer) => this.#port.postMessage({ to: 'client', message: answer }, transfer),
      () => this.#servers.delete(message.id),
    );
    this.#servers.set(message.id, server);
    server.start();
  }

  /** The other worker has died. Subscribers without a response head start again; the others' responses are cut. */
  #lost(): void {
    for (const client of this.#clients.values()) client.lost();
    for (const server of this.#servers.values()) server.stop();
    this.#lookups.lost();
    for (const id of this.#unconfirmed.keys()) this.#known(id);
  }
}

type PeerEnvelope =
  | { readonly to: 'server' | 'client'; readonly message: PeerMessage }
  | { readonly to: 'lookups'; readonly message: PeerLookupMessage }
  | { readonly to: 'tiers'; readonly id: number; readonly head: EntryHead }
  | { readonly to: 'learner'; readonly id: number; readonly lesson: Lesson }
  | { readonly to: 'sender'; readonly id: number };
