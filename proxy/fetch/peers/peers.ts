import type { MessagePort } from 'node:worker_threads';
import type { EntryHead } from '../../store/entry-head.ts';
import type { StoredEntry } from '../../store/entry.ts';
import type { KeyedHash } from '../../threads/keyed-hash.ts';
import type { ActiveRoute } from '../../routes/active-route.ts';
import type { FetchEvents } from '../flight-result.ts';
import type { Lesson } from '../../store/learner.ts';
import { PeerLookups, type PeerLookupMessage, type PeerLookupRequest } from './lookups.ts';
import type { PeerMessage } from './messages.ts';
import { PeerFetchServer, type PeerFetchServerDependencies } from './server.ts';
import { PeerFetchClient, type PeerFetchClientDependencies } from './client.ts';
import type { FetchRequest } from '../fetch-request.ts';

/** The other workers, as the place where flights of their keys run. */
export interface Peers {
  /** null: this worker itself, also while the owner is being replaced. */
  ownerOf(key: string): Peer | null;
}

export interface Peer {
  /** Subscribes to a flight of the owner's that may show what was `asked` for. Returns what gives that up. */
  subscribe(request: FetchRequest, route: ActiveRoute, asked: Asked, events: FetchEvents): () => void;
  /** Asks for what it has stored for the request, fresh or not. `take` is called once, with null for nothing. */
  borrow(wanted: PeerLookupRequest, take: (entry: StoredEntry | null) => void): void;
}

/** When: the fence's sequence, monotonic and wall clock. */
export interface Asked {
  readonly floor: number;
  readonly startedAtMs: number;
  readonly nowMs: number;
}

export interface PeerDependencies extends PeerFetchClientDependencies, PeerFetchServerDependencies {
  /** What another worker has learnt, for what this one has in memory. */
  learnInMemory(lesson: Lesson): void;
}

/** The ports to the other workers; `index` is this worker's place, the same after a replacement. */
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

  /** A port to the worker at `index`, in place of one that was there. */
  connect(index: number, port: MessagePort): void {
    this.#links[index]?.close();
    const link = new PeerLink(port, this.#deps, () => {
      if (this.#links[index] === link) this.#links[index] = null;
    });
    this.#links[index] = link;
  }

  ownerOf(key: string): Peer | null {
    const owner = this.#hash.hash(key) % this.#count;
    return owner === this.#index ? null : this.at(owner);
  }

  /** null: there is none, or it is being replaced. */
  at(index: number): Peer | null {
    return this.#links[index] ?? null;
  }

  /** Tells the others what this worker has learnt of an entry of which they may have copies. Resolves when they know. */
  async tell(head: EntryHead): Promise<void> {
    await Promise.all(this.#links.map((link) => link?.tell(head)));
  }

  /** The others learn from an answer of the origin, too. Resolves when they have. */
  async teach(lesson: Lesson): Promise<void> {
    await Promise.all(this.#links.map((link) => link?.teach(lesson)));
  }

  close(): void {
    for (const link of this.#links) link?.close();
  }
}

/** One port, both ways: what this worker subscribed to there, and what the other subscribed to here. */
class PeerLink implements Peer {
  readonly #port: MessagePort;
  readonly #deps: PeerDependencies;
  readonly #subscriptions = new Map<number, PeerFetchClient>();
  readonly #servings = new Map<number, PeerFetchServer>();
  readonly #loans: PeerLookups;
  /** What was told, and is not known there yet. */
  readonly #told = new Map<number, () => void>();
  #next = 0;

  constructor(port: MessagePort, deps: PeerDependencies, onClosed: () => void) {
    this.#port = port;
    this.#deps = deps;
    this.#loans = new PeerLookups(deps.tiers, (message, transfer) =>
      port.postMessage({ to: 'loans', message }, transfer ?? []),
    );
    port.on('message', (letter: Letter) => {
      this.#receive(letter);
    });
    port.on('close', () => {
      onClosed();
      this.#lost();
    });
  }

  subscribe(request: FetchRequest, route: ActiveRoute, asked: Asked, events: FetchEvents): () => void {
    this.#next += 1;
    const id = this.#next;
    const subscription = new PeerFetchClient(
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
          this.#subscriptions.delete(id);
          events.over();
        },
      },
      (message) => this.#port.postMessage({ to: 'owner', message }),
    );
    this.#subscriptions.set(id, subscription);
    subscription.start();
    return () => subscription.abandon();
  }

  borrow(wanted: PeerLookupRequest, take: (entry: StoredEntry | null) => void): void {
    this.#loans.ask(wanted, take);
  }

  tell(head: EntryHead): Promise<void> {
    return this.#untilKnown((id) => ({ to: 'tiers', id, head }));
  }

  teach(lesson: Lesson): Promise<void> {
    return this.#untilKnown((id) => ({ to: 'learner', id, lesson }));
  }

  close(): void {
    this.#port.close();
  }

  #untilKnown(letterOf: (id: number) => Letter): Promise<void> {
    this.#next += 1;
    const id = this.#next;
    return new Promise((known) => {
      this.#told.set(id, known);
      this.#port.postMessage(letterOf(id));
    });
  }

  #receive(letter: Letter): void {
    switch (letter.to) {
      case 'owner':
        this.#asked(letter.message);
        return;
      case 'subscriber':
        this.#subscriptions.get(letter.message.id)?.receive(letter.message);
        return;
      case 'loans':
        this.#loans.receive(letter.message);
        return;
      case 'tiers':
        this.#deps.tiers.updateMemory(letter.head);
        this.#port.postMessage({ to: 'teller', id: letter.id });
        return;
      case 'learner':
        this.#deps.learnInMemory(letter.lesson);
        this.#port.postMessage({ to: 'teller', id: letter.id });
        return;
      case 'teller':
        this.#known(letter.id);
        return;
      default:
        letter satisfies never;
    }
  }

  #known(id: number): void {
    this.#told.get(id)?.();
    this.#told.delete(id);
  }

  #asked(message: PeerMessage): void {
    if (message.kind !== 'join') {
      this.#servings.get(message.id)?.receive(message);
      return;
    }
    const serving = new PeerFetchServer(
      this.#deps,
      message,
      (answer, transfer) => this.#port.postMessage({ to: 'subscriber', message: answer }, transfer),
      () => this.#servings.delete(message.id),
    );
    this.#servings.set(message.id, serving);
    serving.start();
  }

  /** The other worker has died: before the head its subscribers start anew, after it they are cut off. */
  #lost(): void {
    for (const subscription of this.#subscriptions.values()) subscription.lost();
    for (const serving of this.#servings.values()) serving.stop();
    this.#loans.lost();
    for (const id of this.#told.keys()) this.#known(id);
  }
}

type Letter =
  | { readonly to: 'owner' | 'subscriber'; readonly message: PeerMessage }
  | { readonly to: 'loans'; readonly message: PeerLookupMessage }
  | { readonly to: 'tiers'; readonly id: number; readonly head: EntryHead }
  | { readonly to: 'learner'; readonly id: number; readonly lesson: Lesson }
  | { readonly to: 'teller'; readonly id: number };
