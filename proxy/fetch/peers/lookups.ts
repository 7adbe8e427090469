import type { RequestView } from '../../../policies/model.ts';
import { isLater, type EntryHead } from '../../store/entry-head.ts';
import type { Tiers } from '../../store/tiers.ts';
import { StoredEntry } from '../../store/entry.ts';

/** Messages of peer lookups: one worker asks another for a stored entry. */
export type PeerLookupMessage =
  | { readonly kind: 'ask'; readonly id: number; readonly wanted: PeerLookupRequest }
  | {
      readonly kind: 'found';
      readonly id: number;
      readonly head: EntryHead;
      readonly content: Uint8Array<ArrayBuffer>;
    }
  | { readonly kind: 'none'; readonly id: number };

export interface PeerLookupRequest {
  readonly key: string;
  readonly request: RequestView;
  /** The route's name and its limit of variants. */
  readonly route: string;
  readonly maxVariants: number;
}

/** Larger entries are not sent whole: a flight streams them if they are fresh. */
const MAX_BYTES = 2 ** 20;

type Taker = (entry: StoredEntry | null) => void;

/**
 * Looks up entries in the memory of another worker that are not on a shared disk, or not yet. The asking worker keeps them
 * in its memory and decides itself whether they are fresh.
 */
export class PeerLookups {
  readonly #tiers: Tiers;
  readonly #send: (message: PeerLookupMessage, transfer?: ArrayBuffer[]) => void;
  readonly #open = new Map<number, { readonly wanted: PeerLookupRequest; readonly take: Taker }>();
  #next = 0;

  constructor(tiers: Tiers, send: (message: PeerLookupMessage, transfer?: ArrayBuffer[]) => void) {
    this.#tiers = tiers;
    this.#send = send;
  }

  /** Calls `take` once, with null if no entry is found. */
  ask(wanted: PeerLookupRequest, take: Taker): void {
    this.#next += 1;
    this.#open.set(this.#next, { wanted, take });
    this.#send({ kind: 'ask', id: this.#next, wanted });
  }

  receive(message: PeerLookupMessage): void {
    switch (message.kind) {
      case 'ask':
        this.#answer(message);
        return;
      case 'found':
        this.#settle(message.id, message);
        return;
      case 'none':
        this.#settle(message.id, null);
        return;
      default:
        message satisfies never;
    }
  }

  /** The other worker has ended. */
  lost(): void {
    for (const id of this.#open.keys()) this.#settle(id, null);
  }

  #answer({ id, wanted }: PeerLookupMessage & { readonly kind: 'ask' }): void {
    const entry = this.#find(wanted);
    if (entry === null || entry.content === null || entry.content.byteLength > MAX_BYTES) {
      this.#send({ kind: 'none', id });
      return;
    }
    // A copy, because its buffer is transferred to the other worker.
    const content = new Uint8Array(entry.content);
    this.#send({ kind: 'found', id, head: entry.head, content }, [content.buffer]);
  }

  #settle(id: number, found: (PeerLookupMessage & { readonly kind: 'found' }) | null): void {
    const lookup = this.#open.get(id);
    if (lookup === undefined) return;
    this.#open.delete(id);
    const own = this.#find(lookup.wanted);
    const isOver = found !== null && this.#tiers.isDropped(found.head.id);
    if (found === null || isOver || (own !== null && !isLater(found.head, own.head))) {
      lookup.take(own);
      return;
    }
    const { head, content } = found;
    const entry = new StoredEntry(head, content, this.#tiers.sentFieldsOf(head));
    this.#tiers.keep(entry, lookup.wanted.maxVariants);
    lookup.take(entry);
  }

  #find({ key, request, route }: PeerLookupRequest): StoredEntry | null {
    return this.#tiers.find(key, request, route).entry;
  }
}
