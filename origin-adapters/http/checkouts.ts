/**
 * Assigns connections: selects the URL, keeps the limit, and lets requests wait in a bounded queue, clients' before
 * background ones.
 */
import type { OriginFailure, OriginRequest } from '../origin.ts';
import type { OriginConnection, ConnectionPool } from './connections.ts';
import { originFailure } from './failure.ts';

export interface Checkouts {
  /** Grants or refuses at once if a connection is free or the queue is full, otherwise later. */
  acquire(request: CheckoutRequest): void;
  /** Removes a waiting request that needs no connection any more. It is then neither granted nor refused. */
  cancel(request: CheckoutRequest): void;
  /** Takes a granted connection back, which each request must call once. */
  release(connection: OriginConnection): void;
  readonly queued: number;
}

export interface CheckoutRequest {
  readonly priority: OriginRequest['priority'];
  /** Requires a new connection, because a kept-alive one has just failed this request. */
  readonly fresh: boolean;
  /** Whether this request has already failed on that URL. */
  hasTried(url: string): boolean;
  /** The remaining time to wait, in milliseconds. */
  leftMs(): number;
  granted(connection: OriginConnection): void;
  refused(failure: OriginFailure): void;
}

/** `isHealthy`: health by a pool's index; if none is healthy, all are used. */
export function createCheckouts(
  pools: readonly ConnectionPool[],
  queueSize: number,
  isHealthy: (pool: number) => boolean = () => true,
): Checkouts {
  const inTurn = roundRobin(pools);
  const waiting = {
    client: new Map<CheckoutRequest, NodeJS.Timeout>(),
    background: new Map<CheckoutRequest, NodeJS.Timeout>(),
  };
  let handingOut = false;

  const queued = (): number => waiting.client.size + waiting.background.size;

  const take = (request: CheckoutRequest): OriginConnection | null => {
    if (pools.length === 1) return pools[0]!.take(request.fresh);
    const all = inTurn();
    const healthy = all.filter((pool) => isHealthy(pools.indexOf(pool)));
    const order = healthy.length === 0 ? all : healthy;
    const untried = order.filter((pool) => !request.hasTried(pool.url));
    return takeFirst(untried, request.fresh) ?? takeFirst(order, request.fresh);
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
      for (const request of queue.keys()) {
        const connection = take(request);
        if (connection === null) return;
        leave(request);
        request.granted(connection);
      }
    }
  };

  const leave = (request: CheckoutRequest): void => {
    const queue = waiting[request.priority];
    clearTimeout(queue.get(request));
    queue.delete(request);
  };

  const refuse = (request: CheckoutRequest, why: string): void => {
    leave(request);
    request.refused(limitReached(why));
  };

  /** In a full queue a client's request replaces a background one. */
  const makeRoom = (request: CheckoutRequest): boolean => {
    if (queued() < queueSize) return true;
    const displaced = request.priority === 'client' ? [...waiting.background.keys()].at(-1) : undefined;
    if (displaced === undefined) return false;
    refuse(displaced, "a client's request took its place in the queue");
    return true;
  };

  return {
    acquire(request) {
      const overtakes = waiting.client.size > 0 || (request.priority === 'background' && queued() > 0);
      const connection = overtakes ? null : take(request);
      if (connection !== null) {
        request.granted(connection);
        return;
      }
      if (!makeRoom(request)) {
        request.refused(limitReached('the queue is full'));
        return;
      }
      const timer = setTimeout(
        () => refuse(request, 'none became free in time'),
        Math.max(0, request.leftMs()),
      );
      waiting[request.priority].set(request, timer);
    },
    cancel: leave,
    release(connection) {
      connection.pool.give(connection);
      handOutSoon();
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
