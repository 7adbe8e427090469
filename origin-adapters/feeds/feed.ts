import type { z } from 'zod';
import type { Change } from '../../policies/change.ts';
import type { FeedConfig } from '../../policies/config/config.ts';
import type { FeedType } from '../../policies/config/schema.ts';
import type { Fields } from '../../policies/http/fields.ts';

/**
 * A feed: an ordered stream of changes from the origin's side. Each adapter implements it in one file, or in a folder of its name. The runner
 * (`proxy/feeds/`) reconnects, measures silence, maps changes and makes them durable.
 *
 * Requirements on every adapter:
 * - **Order.** Events are in the feed's order; a `change` is one whole transaction.
 * - **Nothing is skipped.** A message that can't be parsed is `unintelligible`. If it can't be proved that nothing was
 *   missed after the requested position, a `gap` comes before any other event. An adapter never clamps a position,
 *   never starts at the newest entry without a gap, and never recreates what was lost upstream.
 * - **Head only as proof.** `head` means that every change committed before `askedAtMonotonicMs` was yielded before
 *   this event. Traffic is no proof. Without changes it is repeated at `headIntervalMs`.
 * - **Backpressure.** An event is produced when the consumer requests the next one; read-ahead is bounded, and nothing
 *   is dropped.
 * - **At least once.** After a reconnection events may be repeated. Within one `open` they are in order.
 */
export interface Feed {
  /**
   * Connects and yields the events after `after`, a position of this feed. Null: there is none; the feed begins at
   * its head, and its first event is a `gap`, yielded once it is attached there, so that no change is missed in
   * between.
   *
   * Runs until `signal` aborts, which promptly ends any wait and frees the connection, or until it fails; then
   * `failed` is the last event. It does not reconnect. At most one `open` runs at a time; another may follow.
   */
  open(after: string | null, signal: AbortSignal): AsyncIterable<FeedEvent>;

  /**
   * Everything up to and including this position is applied and durable, so the upstream may forget it. Positions
   * come in order, but not every one. Returns at once; an error ends the open stream with `failed`. Ignored between
   * two opens.
   */
  acknowledge(position: string): void;

  /** For feeds whose changes are delivered to Weir (webhook). */
  readonly receiver?: FeedReceiver;
}

export type FeedEvent =
  | ChangeEvent
  /** A message that the format or the adapter can't parse. It may stand for any change. */
  | { readonly kind: 'unintelligible'; readonly position: string; readonly reason: string }
  /** `position`: of the head, if known: everything up to it was yielded. */
  | { readonly kind: 'head'; readonly position: string | null; readonly askedAtMonotonicMs: number }
  /**
   * Changes before this place may have been missed. `position`: where the feed continues; null: at the next event.
   */
  | { readonly kind: 'gap'; readonly reason: string; readonly position: string | null }
  /** The number of events that wait upstream, for operators. */
  | { readonly kind: 'behind'; readonly events: number }
  | { readonly kind: 'failed'; readonly failure: FeedFailure };

export interface ChangeEvent {
  readonly kind: 'change';
  /** The position after this transaction. */
  readonly position: string;
  /** All changes of one transaction, in order. Empty where only the position advances. */
  readonly changes: readonly Change[];
  /** Wall-clock milliseconds since 1970 of the commit, if the feed states it. */
  readonly committedAtMs?: number;
}

export interface FeedFailure {
  readonly kind:
    /** The server does not respond, or the connection was lost. */
    | 'unreachable'
    /** Wrong credentials, or missing permissions. */
    | 'refused'
    /** The stream, topic, slot or publication does not exist. */
    | 'missing'
    /** Another client holds it. */
    | 'in-use'
    /** The server violated the protocol. */
    | 'protocol'
    /** The client library is not installed. */
    | 'library';
  /**
   * `soon`: retry with backoff. `slowly`: retry at the longest backoff, because an operator has to act. `never`: do not
   * retry before a restart.
   */
  readonly retry: 'soon' | 'slowly' | 'never';
  /** For logs and operators: the cause and the cure. Contains no secrets and no stack. */
  readonly message: string;
  readonly cause: unknown;
}

export interface FeedDeps {
  readonly clock: FeedClock;
  readonly log: FeedLog;
  /**
   * Loads an optional client library on first use: `loadLibrary('pg', () => import('pg'))`. `name` is the package to
   * install, for the failure's message.
   */
  loadLibrary<T>(name: string, load: () => Promise<T>): Promise<LoadedLibrary<T>>;
}

export type LoadedLibrary<T> =
  | { readonly kind: 'loaded'; readonly library: T }
  | { readonly kind: 'failed'; readonly failure: FeedFailure };

export interface FeedClock {
  /** Monotonic milliseconds, with one origin for the whole process. */
  monotonicMs(): number;
  /** Wall-clock milliseconds since 1970. */
  nowMs(): number;
  /**
   * Calls back once after `delayMs`, unless the returned function was called before. Does not keep the process alive.
   */
  schedule(delayMs: number, callback: () => void): () => void;
}

/** `event` is one short phrase. The caller adds the feed's name. */
export type FeedLog = (
  level: 'debug' | 'info' | 'warn' | 'error',
  event: string,
  details?: Readonly<Record<string, unknown>>,
) => void;

/** Receives deliveries as requests on the main port. */
export interface FeedReceiver {
  /** The normalised path of deliveries. */
  readonly path: string;
  /** The maximum content of a delivery in bytes. A larger one gets 413 from the reader of the content. */
  readonly maxBodyBytes: number;
  /** Resolves once the delivery is applied and durable, or refused. Never rejects. */
  receive(delivery: FeedDelivery): Promise<DeliveryAnswer>;
}

export interface FeedDelivery {
  readonly method: string;
  readonly fields: Fields;
  /** The content exactly as sent, because signatures cover its bytes. */
  readonly body: Uint8Array;
}

export interface DeliveryAnswer {
  /** 204: applied and durable. 401: not authenticated. 400, 405, 413: not a delivery. 503: to be sent again. */
  readonly status: 204 | 400 | 401 | 405 | 413 | 503;
  /** The reason, for the sender; empty for 204. */
  readonly detail: string;
}

/** A type of feed in the registry. `schema` has its own keys (for example `url`). */
export interface FeedAdapter extends FeedType {
  readonly type: FeedConfig['type'];
  /**
   * Whether its heads are proofs as `Feed` requires. False where the sender decides when it reports changes: then
   * they only show that the feed is ready to receive.
   */
  readonly provesHead: boolean;
  /** Client libraries that `open` loads. */
  readonly packages: readonly string[];
  /** Does not connect. `config.options` has been validated by `schema`. */
  create(config: FeedConfig, deps: FeedDeps): Feed;
  /**
   * The position in the form of the feed's server, for operators and `Weir-Position`. Positions may hold more, such
   * as a stream's identity or an ordinal.
   */
  showPosition(position: string): string;
  /**
   * Negative, 0 or positive if `a` is before, at or after `b`; null if unknown. Takes positions and results of
   * `showPosition`. 64-bit numbers are compared as BigInt, never as text or double.
   */
  comparePositions(a: string, b: string): number | null;
}

/** Creates an adapter whose `create` receives its options with the type of `schema`. */
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
    // The configuration's loader has validated the options by this schema.
    create: (config, deps) => definition.create(config, config.options as z.output<Schema>, deps),
  };
}

/** How often a feed without changes proves its head: three times in `maxSilenceMs`, at least every 10 s. */
export function headIntervalMs(maxSilenceMs: number): number {
  return Math.min(maxSilenceMs / 3, 10_000);
}
