/**
 * Assigns connections: selects the URL, keeps the limit, and lets requests wait in a bounded queue, clients' before
 * background ones.
 */
import type { OriginFailure, OriginRequest } from '../origin.ts';
import type { OriginConnection, ConnectionPool } from './connections.ts';
import { originFailure } from './failure.ts';

export interface Checkouts {
  /**
   * Grants or refuses at once if a connection is free or the queue is full, otherwise later; never after the
   * cancellation.
   */
  acquire(request: CheckoutRequest): Cancel;
  readonly queued: number;
}

export interface CheckoutRequest {
  readonly priority: OriginRequest['priority'];
  /** Requires a new connection, because a kept-alive one has just failed this request. */
  readonly fresh: boolean;
  /** URLs on which this request has already failed. */
  readonly tried: ReadonlySet<string>;
  /** The remaining time to wait, in milliseconds. */
  readonly maxWaitMs: number;
  granted(checkout: Checkout): void;
  refused(failure: OriginFailure): void;
}

export type Cancel = () => void;

export interface Checkout {
  readonly connection: OriginConnection;
  /** Returns the connection. Further calls do nothing. */
  release(): void;
}

interface QueuedRequest {
  readonly request: CheckoutRequest;
  readonly timer: NodeJS.Timeout;
}

/** `isHealthy`: health by a pool's index; if none is healthy, all are used. */
export function createCheckouts(
  pools: readonly ConnectionPool[],
  queueSize: number,
  isHealthy: (pool: number) => boolean = () => true,
): Checkouts {
  const inTurn = roundRobin(pools);
  const waiting = { client: new Set<QueuedRequest>(), background: new Set<QueuedRequest>() };
  let handingOut = false;

  const queued = (): number => waiting.client.size + waiting.background.size;

  const take = (request: CheckoutRequest): OriginConnection | null => {
    const all = inTurn();
    const healthy = pools.length === 1 ? all : all.filter((pool) => isHealthy(pools.indexOf(pool)));
    const order = healthy.length === 0 ? all : healthy;
    const untried = order.filter((pool) => !request.tried.has(pool.url));
    return takeFirst(untried, request.fresh) ?? takeFirst(order, request.fresh);
  };

  const checkout = (connection: OriginConnection): Checkout => {
    let held = true;
    return {
      connection,
      release() {
        if (!held) return;
        held = false;
        connection.pool.give(connection);
        handOutSoon();
      },
    };
  };

  /** Asynchronous, because the caller that releases a connection may still be within its parser. */
  const handOutSoon = (): void => {
    if (handingOut || queued() === 0) return;
    handingOut = true;
    queueMicrotask(() => {
      handingOut = false;
      handOut();
    });
  };

  const handOut = (): void => {
    for (const queue of [waiting.client, waiting.background]) {
      for (const entry of queue) {
        const connection = take(entry.request);
        if (connection === null) return;
        leave(entry);
        entry.request.granted(checkout(connection));
      }
    }
  };

  const leave = (entry: QueuedRequest): void => {
    clearTimeout(entry.timer);
    waiting[entry.request.priority].delete(entry);
  };

  const refuse = (entry: QueuedRequest, why: string): void => {
    leave(entry);
    entry.request.refused(limitReached(why));
  };

  /** In a full queue a client's request replaces a background one. */
  const makeRoom = (request: CheckoutRequest): boolean => {
    if (queued() < queueSize) return true;
    const displaced = request.priority === 'client' ? [...waiting.background].at(-1) : undefined;
    if (displaced === undefined) return false;
    refuse(displaced, "a client's request took its place in the queue");
    return true;
  };

  return {
    acquire(request) {
      const overtakes = waiting.client.size > 0 || (request.priority === 'background' && queued() > 0);
      const connection = overtakes ? null : take(request);
      if (connection !== null) {
        request.granted(checkout(connection));
        return () => undefined;
      }
      if (!makeRoom(request)) {
        request.refused(limitReached('the queue is full'));
        return () => undefined;
      }
      const entry: QueuedRequest = {
        request,
        timer: setTimeout(() => refuse(entry, 'none became free in time'), Math.max(0, request.maxWaitMs)),
      };
      waiting[request.priority].add(entry);
      return () => leave(entry);
    },
    get queued() {
      return queued();
    },
  };
}

function takeFirst(pools: readonly ConnectionPool[], fresh: boolean): OriginConnection | null {
  for (const pool of pools) {
    const connection = pool.take(fresh);
    if (connection !== null) return connection;
  }
  return null;
}

/** Each call returns all items, beginning with the next one in turn. */
function roundRobin<T>(items: readonly T[]): () => readonly T[] {
  let next = 0;
  return () => {
    const first = next;
    next = (next + 1) % items.length;
    return [...items.slice(first), ...items.slice(0, first)];
  };
}

function limitReached(why: string): OriginFailure {
  return originFailure(
    'connection_limit_reached',
    `all connections to the origin are in use: ${why}`,
    false,
    null,
  );
}
