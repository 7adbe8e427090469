/**
 * Assigns connections: selects the URL, keeps the limit, and lets requests wait in a bounded queue, clients' before
 * background ones.
 */
import type { OriginFailure, OriginRequest } from '../origin.ts';
import type { OriginConnection, ConnectionPool } from './connections.ts';
import { originFailure } from './failure.ts';

export interface Leases {
  /**
   * Grants or refuses at once if a connection is free or the queue is full, otherwise later; never after the
   * cancellation.
   */
  acquire(wish: Wish): Cancel;
  readonly queued: number;
}

export interface Wish {
  readonly priority: OriginRequest['priority'];
  /** Requires a new connection, because a kept-alive one has just failed this request. */
  readonly fresh: boolean;
  /** URLs on which this request has already failed. */
  readonly tried: ReadonlySet<string>;
  /** The remaining time to wait, in milliseconds. */
  readonly patienceMs: number;
  granted(lease: Lease): void;
  refused(failure: OriginFailure): void;
}

export type Cancel = () => void;

export interface Lease {
  readonly connection: OriginConnection;
  /** Returns the connection. Further calls do nothing. */
  release(): void;
}

interface Waiter {
  readonly wish: Wish;
  readonly timer: NodeJS.Timeout;
}

/** `isWell`: health by a pool's index; if none is healthy, all are used. */
export function createLeases(
  pools: readonly ConnectionPool[],
  queueSize: number,
  isWell: (pool: number) => boolean = () => true,
): Leases {
  const inTurn = roundRobin(pools);
  const waiting = { client: new Set<Waiter>(), background: new Set<Waiter>() };
  let handingOut = false;

  const queued = (): number => waiting.client.size + waiting.background.size;

  const take = (wish: Wish): OriginConnection | null => {
    const all = inTurn();
    const well = pools.length === 1 ? all : all.filter((pool) => isWell(pools.indexOf(pool)));
    const order = well.length === 0 ? all : well;
    const untried = order.filter((pool) => !wish.tried.has(pool.url));
    return takeFirst(untried, wish.fresh) ?? takeFirst(order, wish.fresh);
  };

  const lease = (connection: OriginConnection): Lease => {
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
    for (const waiters of [waiting.client, waiting.background]) {
      for (const waiter of waiters) {
        const connection = take(waiter.wish);
        if (connection === null) return;
        leave(waiter);
        waiter.wish.granted(lease(connection));
      }
    }
  };

  const leave = (waiter: Waiter): void => {
    clearTimeout(waiter.timer);
    waiting[waiter.wish.priority].delete(waiter);
  };

  const refuse = (waiter: Waiter, why: string): void => {
    leave(waiter);
    waiter.wish.refused(limitReached(why));
  };

  /** In a full queue a client's request replaces a background one. */
  const makeRoom = (wish: Wish): boolean => {
    if (queued() < queueSize) return true;
    const displaced = wish.priority === 'client' ? [...waiting.background].at(-1) : undefined;
    if (displaced === undefined) return false;
    refuse(displaced, "a client's request took its place in the queue");
    return true;
  };

  return {
    acquire(wish) {
      const overtakes = waiting.client.size > 0 || (wish.priority === 'background' && queued() > 0);
      const connection = overtakes ? null : take(wish);
      if (connection !== null) {
        wish.granted(lease(connection));
        return () => undefined;
      }
      if (!makeRoom(wish)) {
        wish.refused(limitReached('the queue is full'));
        return () => undefined;
      }
      const waiter: Waiter = {
        wish,
        timer: setTimeout(() => refuse(waiter, 'none became free in time'), Math.max(0, wish.patienceMs)),
      };
      waiting[wish.priority].add(waiter);
      return () => leave(waiter);
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
