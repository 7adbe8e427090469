import { cacheStatus, type CacheStatus } from '../../policies/http/cache-status.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { VIA } from '../../policies/http/forwarding.ts';
import { proxyStatus, type ProxyStatus } from '../../policies/http/proxy-status.ts';
import type { HoldBound } from '../../policies/writes.ts';
import type { OriginFailure } from '../../origin-adapters/origin.ts';
import {
  ERROR_RESPONSES,
  errorDocument,
  filled,
  type ErrorCode,
  type ErrorRow,
  type ErrorValues,
} from '../http/error-responses.ts';
import type { AccessRecords } from './access-records.ts';
import type { RequestContext, RoutedContext } from './context.ts';

/** What a response adds to its row of the table. */
export interface ErrorParts {
  /** In place of the row's. */
  readonly status?: number;
  readonly values?: ErrorValues;
  readonly fields?: Fields;
  /** Its `detail` is the row's reason, or the code, unless it has one. */
  readonly cache?: CacheStatus;
  readonly proxy?: Omit<ProxyStatus, 'error'>;
}

/** Ends a request with a row of the table of error responses, and records it. */
export function refuse(
  context: RequestContext | RoutedContext,
  accessRecords: AccessRecords,
  code: ErrorCode,
  { status: given, values = {}, fields = [], cache = {}, proxy = {} }: ErrorParts = {},
): void {
  const row: ErrorRow = ERROR_RESPONSES[code];
  const { status, fields: own, content } = errorDocument(row, values, given);
  const sent = [...own, ...fields, 'Via', VIA, 'Cache-Status', cacheStatus({ detail: code, ...cache })];
  if (row.proxyError !== undefined) {
    sent.push('Proxy-Status', proxyStatus({ error: filled(row.proxyError, values), ...proxy }));
  }
  context.exchange.respond(status, sent, content);
  const reason = filled(row.reason ?? code, values);
  accessRecords.whenEnded(context, row.outcome ?? 'refused', reason, status);
}

/** The bound on writes whose holds are in force, or may be, is reached. */
export function refuseHeld(context: RoutedContext, accessRecords: AccessRecords, bound: HoldBound): void {
  const code = bound === 'client' ? 'held-per-client' : 'held';
  refuse(context, accessRecords, code, { proxy: { details: code } });
}

/**
 * Of `origin-failed`: the origin could not be asked, or its response broke off before anything was sent. The client does not
 * learn which address failed how.
 */
export function originFailed(
  context: RoutedContext,
  { kind, status }: Pick<OriginFailure, 'kind' | 'status'>,
  cache: CacheStatus,
  mayRetry = status === 503,
): ErrorParts {
  return {
    status,
    values: { kind },
    fields: mayRetry ? ['Retry-After', '1'] : [],
    cache: { ...cache, detail: kind },
    proxy: { nextHop: context.route.config.origin },
  };
}

export function refuseFailed(
  context: RoutedContext,
  accessRecords: AccessRecords,
  failure: OriginFailure,
  cache: CacheStatus,
): void {
  refuse(context, accessRecords, 'origin-failed', originFailed(context, failure, cache));
}
