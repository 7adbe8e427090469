import { cacheStatus, type CacheStatus } from '../../policies/http/cache-status.ts';
import { VIA } from '../../policies/http/forwarding.ts';
import type { HoldBound } from '../../policies/writes.ts';
import { errorOfRefusal, proxyStatus } from '../../policies/http/proxy-status.ts';
import type { OriginFailure } from '../../origin-adapters/origin.ts';
import type { Exchange } from '../http/exchange.ts';
import { problem } from '../http/problem.ts';

/** Answers in Weir's own name: problem documents with Cache-Status and, where the origin failed, Proxy-Status. */

export function refuse(
  exchange: Exchange,
  status: number,
  title: string,
  detail: string,
  more: readonly string[] = [],
): void {
  const document = problem(status, title, detail);
  exchange.respond(status, [...document.fields, ...more], document.content);
}

/** There are too many writes whose holds are in force, or may be. */
export function refuseHeld(
  exchange: Exchange,
  bound: HoldBound,
): { readonly reason: string; readonly status: number } {
  const { status, title, reason, detail } = HELD[bound];
  refuse(exchange, status, title, detail, [
    'Retry-After',
    '1',
    'Via',
    VIA,
    'Cache-Status',
    cacheStatus({ detail: reason }),
    'Proxy-Status',
    proxyStatus({ error: errorOfRefusal(status), details: reason }),
  ]);
  return { reason, status };
}

const HELD = {
  client: {
    status: 429,
    title: 'Too Many Requests',
    reason: 'held-per-client',
    detail: 'Too many writes of this client are under way or of unknown outcome.',
  },
  all: {
    status: 503,
    title: 'Service Unavailable',
    reason: 'held',
    detail: 'Too many writes are under way or of unknown outcome.',
  },
} as const;

const TITLES: Readonly<Record<OriginFailure['status'], string>> = {
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
};

/** The origin could not be asked, or its answer broke off before anything was sent. */
export function refuseFailed(
  exchange: Exchange,
  failure: OriginFailure,
  originName: string,
  status: CacheStatus,
  also: readonly string[] = [],
): void {
  const more = [
    ...also,
    'Via',
    VIA,
    'Cache-Status',
    cacheStatus({ ...status, detail: failure.kind }),
    'Proxy-Status',
    proxyStatus({ error: failure.kind, nextHop: originName }),
  ];
  if (failure.status === 503 && also.length === 0) more.push('Retry-After', '1');
  refuse(exchange, failure.status, TITLES[failure.status], detailOf(failure), more);
}

/** What a client may know: not which address failed how. */
function detailOf({ kind }: OriginFailure): string {
  return `The origin gave no usable answer (${kind}).`;
}

const SERVER_ERRORS: Readonly<Record<number, string>> = {
  ...TITLES,
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  501: 'Not Implemented',
};

/** The origin has failed with this status at another request for the same. */
export function refuseAlike(
  exchange: Exchange,
  status: number,
  originName: string,
  cache: CacheStatus,
): void {
  refuse(exchange, status, SERVER_ERRORS[status] ?? 'Server Error', 'The origin fails at this.', [
    'Via',
    VIA,
    'Cache-Status',
    cacheStatus({ ...cache, detail: 'failing' }),
    'Proxy-Status',
    proxyStatus({ error: 'destination_unavailable', receivedStatus: status, nextHop: originName }),
    'Retry-After',
    '1',
  ]);
}
