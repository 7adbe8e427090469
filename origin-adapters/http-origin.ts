/**
 * An origin with one or several http(s) URLs: limited connections, a bounded queue, timeouts and retries, on undici's
 * dispatch interface, which passes raw header pairs and the body without copying.
 */
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import type { OriginConfig } from '../policies/config/config.ts';
import { Call } from './http/call.ts';
import type { CallHandler } from './http/call-handler.ts';
import type { CallSurroundings } from './http/call.ts';
import { createConnectionPool } from './http/connections.ts';
import type { Breaker } from './http/breaker.ts';
import { createCheckouts } from './http/checkouts.ts';
import type {
  Origin,
  OriginCall,
  OriginObserver,
  OriginRequest,
  OriginStats,
  UpgradeResult,
} from './origin.ts';

export interface HttpOriginDependencies {
  readonly clock: { monotonicMs(): number };
  /** The circuit breaker; absent or null: none. */
  readonly breaker?: Breaker | null;
  /** Whether the URL at this index of the configuration passed its last health check. Absent: all did. */
  readonly isHealthy?: (url: number) => boolean;
  /** Notified of each attempt's result; absent or null: nobody is. */
  readonly observer?: OriginObserver | null;
}

/**
 * Creates the origin. The connection limit applies to each URL, the queue to the whole origin. A request fails with
 * `connection_limit_reached` at once if the queue is full, and after the queue's timeout if it waits longer. Retries
 * go to the next URL, at most `retry` times: of any attempt that fails before anything was sent, and of a GET, HEAD
 * or OPTIONS without content whose connection failed.
 *
 * Throws if the file of `tls.ca` can't be read or a URL is not an http(s) one.
 */
export function createHttpOrigin(
  config: OriginConfig,
  { clock, breaker = null, isHealthy, observer }: HttpOriginDependencies,
): Origin {
  const ca = config.tls?.caFile ? readFileSync(config.tls.caFile, 'utf8') : undefined;
  const pools = config.urls.map((url) =>
    createConnectionPool(new URL(url).origin, {
      limit: config.connections,
      connectTimeoutMs: config.timeouts.connectMs,
      sendTimeoutMs: config.timeouts.headersMs,
      ca,
      serverName: config.tls?.serverName ?? undefined,
    }),
  );
  const checkouts = createCheckouts(pools, config.queue.size, isHealthy);
  const places = new Map(pools.map(({ url }, place) => [url, place]));
  const calls = new Set<Call>();
  let closed: Promise<void> | null = null;
  let onIdle: (() => void) | null = null;

  const counters = { requests: 0, failures: 0, retries: 0, abandoned: 0 };
  const stats: OriginStats = Object.defineProperties(counters as OriginStats, {
    running: { enumerable: true, get: () => calls.size - checkouts.queued },
    queued: { enumerable: true, get: () => checkouts.queued },
  });

  const surroundings: CallSurroundings = {
    checkouts,
    clock,
    stats,
    breaker,
    headersTimeoutMs: config.timeouts.headersMs,
    bodyTimeoutMs: config.timeouts.bodyMs,
    queueTimeoutMs: config.queue.timeoutMs,
    retries: config.retry,
    failed: (url, failure) => observer?.failed(url === null ? null : (places.get(url) ?? null), failure),
    answered: (url, status) => observer?.answered(places.get(url) ?? 0, status),
    ended(call) {
      calls.delete(call);
      if (calls.size === 0) onIdle?.();
    },
  };

  const start = (request: OriginRequest, handler: CallHandler, upgrade: string | null): OriginCall => {
    counters.requests++;
    const call = new Call(request, handler, upgrade, surroundings);
    calls.add(call);
    if (breaker !== null && !breaker.admits(clock.monotonicMs())) queueMicrotask(() => call.refuse());
    else if (closed === null) call.start();
    else queueMicrotask(() => call.terminate());
    return call;
  };

  const finish = async (graceMs: number): Promise<void> => {
    if (calls.size > 0) await idleWithin(graceMs, (listener) => (onIdle = listener));
    for (const call of calls) call.terminate();
    for (const pool of pools) pool.destroy();
  };

  return {
    name: config.name,
    send: (request, handler) => start(request, handler, null),
    upgrade: (request, protocol) =>
      new Promise((resolve) => {
        const call: OriginCall = start(
          request,
          switching(resolve, () => call),
          protocol,
        );
      }),
    stats,
    close: (graceMs) => (closed ??= finish(graceMs)),
  };
}

function idleWithin(graceMs: number, listen: (listener: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, graceMs);
    listen(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Resolves with the tunnel, or with the origin's refusal as a response whose body can be paused. */
function switching(resolve: (result: UpgradeResult) => void, call: () => OriginCall): CallHandler {
  let body: Readable | null = null;
  return {
    onInformational: () => undefined,
    onSwitched: (fields, socket) => resolve({ kind: 'switched', fields, socket, head: new Uint8Array(0) }),
    onHead(status, fields) {
      body = new Readable({
        read: () => call().resume(),
        destroy(error, callback) {
          call().abort();
          callback(error);
        },
      });
      resolve({ kind: 'refused', status, fields, body });
    },
    onData(chunk) {
      if (body?.push(chunk) === false) call().pause();
    },
    onEnd: () => void body?.push(null),
    onFailure(failure) {
      if (body === null) resolve({ kind: 'failed', failure });
      else body.destroy(new Error(failure.message, { cause: failure.cause }));
    },
  };
}
