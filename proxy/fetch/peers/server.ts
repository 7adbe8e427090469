import { decideReuse } from '../../../policies/rfc9111/reuse.ts';
import type { FeedTrust } from '../../../policies/model.ts';
import { readBytes, readFlight, readStored, type ContentReader } from '../../store/content.ts';
import type { Tiers } from '../../store/tiers.ts';
import { judge } from '../../store/verdict.ts';
import type { Clock } from '../../threads/clock.ts';
import type { FenceReader } from '../../fence/reader.ts';
import type { ActiveRoute } from '../../origins/active-route.ts';
import type { FlightPlaces } from '../flight-claims.ts';
import type { PeerMessage } from './messages.ts';
import type { FetchRequest, FetchResult, FetchedEntry, Waiter } from '../fetch-request.ts';

/** The operations of this worker's flights that peers use. */
export interface FlightsPort {
  join(request: FetchRequest, waiter: Waiter): () => boolean;
}

export interface PeerFetchServerDependencies {
  readonly tiers: Tiers;
  readonly fence: FenceReader;
  readonly clock: Clock;
  readonly flights: () => FlightsPort;
  readonly peers: FlightPlaces<object>;
  routeNamed(name: string): ActiveRoute | null;
  trustOf(route: ActiveRoute): FeedTrust;
}

type Join = PeerMessage & { readonly kind: 'join' };

/** The owner's side of a subscription: it waits like a client, and sends content within the subscriber's credit. */
export class PeerFetchServer implements Waiter {
  readonly arrival: number;
  readonly arrivedAtMs: number;
  readonly waitsSinceMs: number;
  readonly request: Join['fetch']['request'];
  readonly #deps: PeerFetchServerDependencies;
  readonly #join: Join;
  readonly #send: (message: PeerMessage, transfer?: ArrayBuffer[]) => void;
  readonly #done: () => void;
  #leaveFlight: (() => void) | null = null;
  #reader: ContentReader | null = null;
  #credit = 0;

  constructor(
    deps: PeerFetchServerDependencies,
    join: Join,
    send: (message: PeerMessage, transfer?: ArrayBuffer[]) => void,
    done: () => void,
  ) {
    this.#deps = deps;
    this.#join = join;
    this.#send = send;
    this.#done = done;
    this.arrival = join.arrival;
    this.arrivedAtMs = join.arrivedAtMs;
    this.waitsSinceMs = join.waitsSinceMs;
    this.request = { ...join.fetch.request, method: join.fetch.method };
  }

  /**
   * A fresh entry in this worker needs no flight. A flight runs here only while this worker has claimed the key: one that
   * waited for a third worker's could wait for itself in the end.
   */
  start(): void {
    const fresh = this.#freshHere();
    if (fresh !== null) {
      this.deliver(fresh);
      return;
    }
    const { fetch, id } = this.#join;
    const { peers, flights } = this.#deps;
    const claim = peers.claimFlight(fetch.key);
    if (typeof claim === 'object') {
      this.#send({ kind: 'moved', id });
      this.#done();
      return;
    }
    this.#leaveFlight = flights().join(fetch, this);
    if (claim === 'claimed') peers.releaseFlight(fetch.key);
  }

  receive(message: PeerMessage): void {
    if (message.kind === 'credit') {
      this.#credit += message.bytes;
      this.#sendContent();
    } else if (message.kind === 'leave') this.stop();
  }

  stop(): void {
    this.#leaveFlight?.();
    this.#reader?.close();
    this.#reader = null;
    this.#done();
  }

  inform(status: number, fields: readonly string[]): void {
    this.#send({ kind: 'inform', id: this.#join.id, status, fields });
  }

  deliver(result: FetchResult): void {
    const { id } = this.#join;
    switch (result.kind) {
      case 'entry':
        this.#deliverEntry(result);
        return;
      case 'pass': {
        const { status, fields, reason, body } = result;
        this.#send({ kind: 'pass', id, status, fields, reason });
        this.#reader = readFlight(body, null, 0, () => this.#sendContent());
        return;
      }
      case 'private':
        this.#send({ kind: 'private', id, reason: result.reason });
        break;
      case 'failed': {
        const { kind, status, message, maybeProcessed } = result.failure;
        const { scope, untilMs } = result;
        this.#send({
          kind: 'failed',
          id,
          failure: { kind, status, message, maybeProcessed },
          scope,
          untilMs,
        });
        break;
      }
      case 'failing':
        this.#send({ ...result, id });
        break;
      case 'refused':
        this.#send({ kind: 'refused', id, limit: result.limit });
        break;
      default:
        result satisfies never;
    }
    this.#done();
  }

  #deliverEntry({ entry, body, originStatus, collapsed, ownFields }: FetchedEntry): void {
    const { tiers } = this.#deps;
    const { id, fetch } = this.#join;
    const isWanted = fetch.method !== 'HEAD';
    const streams = isWanted && (body !== null || entry.content !== null || tiers.disk === null);
    const stores = isWanted && body?.isStored === true;
    const head = isWanted ? entry.head : { ...entry.head, id: '' };
    this.#send({ kind: 'entry', id, head, originStatus, collapsed, ownFields, streams, stores });
    if (!streams) {
      this.#done();
      return;
    }
    if (entry.content !== null) this.#reader = readBytes(entry.content, 0);
    else if (body !== null) {
      const place = tiers.disk === null ? null : { head: entry.head, tiers };
      this.#reader = readFlight(body, place, 0, () => this.#sendContent());
      body.onStored((length) => this.#send({ kind: 'stored', id, length }));
    } else if (tiers.disk !== null)
      this.#reader = readStored({ head: entry.head, tiers }, 0, () => this.#sendContent());
  }

  #freshHere(): FetchedEntry | null {
    const { fetch } = this.#join;
    const { tiers, clock } = this.#deps;
    const route = this.#deps.routeNamed(fetch.route);
    const { entry } = tiers.find(fetch.key, fetch.request, fetch.route);
    if (entry === null || route === null) return null;
    const decision = decideReuse({
      meta: entry.meta,
      request: fetch.request,
      ...judge(this.#deps, entry, route),
      policy: route.config.cache,
      nowMs: clock.nowMs(),
    });
    if (decision.kind !== 'serve') return null;
    return { kind: 'entry', entry, body: null, originStatus: null, collapsed: false, ownFields: [] };
  }

  #sendContent(): void {
    const { id } = this.#join;
    while (this.#reader !== null && this.#credit > 0) {
      const piece = this.#reader.next();
      if (piece.kind === 'wait') return;
      if (piece.kind === 'bytes') {
        const length = Math.min(piece.bytes.byteLength, this.#credit);
        // A copy, because its buffer is transferred to the other worker.
        const bytes = new Uint8Array(length);
        bytes.set(piece.bytes.subarray(0, length));
        this.#credit -= length;
        this.#reader.advance(length);
        this.#send({ kind: 'data', id, bytes }, [bytes.buffer]);
        continue;
      }
      this.#send(piece.kind === 'end' ? { kind: 'end', id, trailers: piece.trailers } : { kind: 'cut', id });
      this.#reader.close();
      this.#reader = null;
      this.#done();
    }
  }
}
