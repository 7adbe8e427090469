import type { z } from 'zod';
import type { Change } from '../../policies/change.ts';
import type { FeedConfig } from '../../policies/config/config.ts';
import type { FeedType } from '../../policies/config/schema.ts';
import type { Fields } from '../../policies/http/fields.ts';

/**
 * A feed: an ordered stream of changes from the origin's side. One file an adapter implements this; the runner
 * (`proxy/feeds/`) reconnects, measures silence, maps changes and makes them durable.
 *
 * What every adapter keeps:
 * - **Order.** Events come in the feed's order; a `change` is one whole transaction, never a part of one.
 * - **Nothing is skipped.** What can't be understood is `unintelligible`; where it can't be proved that nothing was
 *   missed after the position asked for, a `gap` comes before anything else. Never clamp, never start at the newest
 *   entry in silence, never recreate what was lost upstream.
 * - **Head only as proof.** `head` means: every change committed before `askedAtMonotonicMs` has been yielded before
 *   this event. Traffic is no proof. While nothing changes it is repeated, a few times in `maxSilenceMs`
 *   (`headIntervalMs`).
 * - **Backpressure.** An event is taken when the consumer asks for the next; what is read ahead is bounded, and
 *   nothing is dropped to keep it so.
 * - **At least once.** After a reconnection events may come again. They never come out of order within one `open`.
 */
export interface Feed {
  /**
   * Connects and yields what comes after `after`, a position that this feed gave (null: there is none; the feed begins
   * at its head, and its first event is a `gap`, yielded only when it is attached there so that no change falls
   * between).
   *
   * Runs until `signal` aborts, which ends it promptly, whatever it waits for, and frees the connection; or until it
   * fails: then `failed` is the last event. It does not reconnect by itself. Never opened twice at a time; may be
   * opened again after it has ended.
   */
  open(after: string | null, signal: AbortSignal): AsyncIterable<FeedEvent>;

  /**
   * Everything up to and including this position is in force and durable here; only now may the upstream forget it.
   * Positions come in order, not necessarily each one. Returns at once; what goes wrong ends the open stream with
   * `failed`. Between two opens it is ignored.
   */
  acknowledge(position: string): void;

  /** Where changes are delivered to Weir instead of being fetched (webhook). */
  readonly receiver?: FeedReceiver;
}

export type FeedEvent =
  | ChangeEvent
  /** A message that the format or the adapter can't read. It counts as having said anything at all. */
  | { readonly kind: 'unintelligible'; readonly position: string; readonly reason: string }
  /** `position`: where the head was, if the feed can say so: everything up to it has been yielded. */
  | { readonly kind: 'head'; readonly position: string | null; readonly askedAtMonotonicMs: number }
  /** Changes may have been missed before this place. `position`: where the feed goes on; null: the next event's. */
  | { readonly kind: 'gap'; readonly reason: string; readonly position: string | null }
  /** How many events wait upstream, where the feed can tell. For operators only. */
  | { readonly kind: 'behind'; readonly events: number }
  | { readonly kind: 'failed'; readonly failure: FeedFailure };

export interface ChangeEvent {
  readonly kind: 'change';
  /** After this transaction. */
  readonly position: string;
  /** All changes of one transaction, in order. May be empty: the position moves. */
  readonly changes: readonly Change[];
  /** Wall-clock milliseconds since 1970 at which the origin's side committed it, where the feed says so. */
  readonly committedAtMs?: number;
}

export interface FeedFailure {
  readonly kind:
    /** Nobody answers, or the connection was lost. */
    | 'unreachable'
    /** Wrong credentials, or not allowed. */
    | 'refused'
    /** The stream, topic, slot or publication is not there. */
    | 'missing'
    /** It is held by somebody else. */
    | 'in-use'
    /** It answered what it must not answer. */
    | 'protocol'
    /** The client library is not installed. */
    | 'library';
  /** `soon`: with backoff. `slowly`: soon at the longest backoff, for somebody must act. `never`: until a restart. */
  readonly retry: 'soon' | 'slowly' | 'never';
  /** For logs and operators: what is wrong and what to do about it; no secrets, no stack. */
  readonly message: string;
  readonly cause: unknown;
}

export interface FeedDeps {
  readonly clock: FeedClock;
  readonly log: FeedLog;
  /**
   * Loads an optional client library when a feed first needs it: `loadLibrary('pg', () => import('pg'))`. The name is
   * that of the package, and the failure says to install it.
   */
  loadLibrary<T>(name: string, load: () => Promise<T>): Promise<LoadedLibrary<T>>;
}

export type LoadedLibrary<T> =
  | { readonly kind: 'loaded'; readonly library: T }
  | { readonly kind: 'failed'; readonly failure: FeedFailure };

export interface FeedClock {
  /** Monotonic milliseconds, of one origin for the whole process. */
  monotonicMs(): number;
  /** Wall-clock milliseconds since 1970. */
  nowMs(): number;
  /** Calls back once after that time, unless the returned function was called before. Keeps no process alive. */
  schedule(delayMs: number, callback: () => void): () => void;
}

/** `event` is one short phrase; the feed's name is added by the caller. */
export type FeedLog = (
  level: 'debug' | 'info' | 'warn' | 'error',
  event: string,
  details?: Readonly<Record<string, unknown>>,
) => void;

/** Takes deliveries that arrive as requests on the main port. */
export interface FeedReceiver {
  /** The path, normalised, on which deliveries come. */
  readonly path: string;
  /** The most bytes a delivery's content may have; more is answered with 413 by whoever reads it. */
  readonly maxBodyBytes: number;
  /** Answers once what was delivered is in force and durable, or refuses it. Never rejects. */
  receive(delivery: FeedDelivery): Promise<DeliveryAnswer>;
}

export interface FeedDelivery {
  readonly method: string;
  readonly fields: Fields;
  /** The content exactly as it was sent: signatures are of these bytes. */
  readonly body: Uint8Array;
}

export interface DeliveryAnswer {
  /** 204: in force and durable. 401: not authenticated. 405, 413, 400: not a delivery. 503: try again. */
  readonly status: 204 | 400 | 401 | 405 | 413 | 503;
  /** Why, for the sender; empty for 204. */
  readonly detail: string;
}

/** A type of feed, as the registry lists it: `schema` has its own keys (`url` among them where it has one). */
export interface FeedAdapter extends FeedType {
  readonly type: FeedConfig['type'];
  /**
   * Whether its heads prove what `Feed` says of them. Not where the feed is told of changes when their sender likes: then
   * they only say that it stands ready.
   */
  readonly provesHead: boolean;
  /** Of the client libraries that `open` loads. */
  readonly packages: readonly string[];
  /** Connects nothing: that is `open`'s. `config.options` has been through `schema`. */
  create(config: FeedConfig, deps: FeedDeps): Feed;
  /**
   * The position as the feed's own world writes it, for operators and `Weir-Position`. Positions may hold more: a
   * stream's identity, an ordinal.
   */
  showPosition(position: string): string;
  /**
   * Below 0, 0 or above 0 as `a` comes before, at or after `b`; null where that can't be told. Takes positions and what
   * `showPosition` made of them. 64-bit numbers are compared as BigInt, never as text or as doubles.
   */
  comparePositions(a: string, b: string): number | null;
}

/** Makes an adapter whose `create` gets its options with the type that `schema` gives them. */
export function defineFeed<Schema extends z.ZodObject>(definition: {
  readonly type: FeedConfig['type'];
  /** Absent: true. */
  readonly provesHead?: boolean;
  /** Absent: none. */
  readonly packages?: readonly string[];
  /** Absent: 0s. */
  readonly readLag?: string;
  readonly schema: Schema;
  create(config: FeedConfig, options: z.output<Schema>, deps: FeedDeps): Feed;
  showPosition(position: string): string;
  comparePositions(a: string, b: string): number | null;
}): FeedAdapter {
  return {
    provesHead: true,
    packages: [],
    readLag: '0s',
    ...definition,
    // The configuration's loader has put the options through this very schema.
    create: (config, deps) => definition.create(config, config.options as z.output<Schema>, deps),
  };
}

/** How often a feed proves itself at its head while nothing changes: thrice in `maxSilenceMs`, at most every 10 s. */
export function headIntervalMs(maxSilenceMs: number): number {
  return Math.min(maxSilenceMs / 3, 10_000);
}
