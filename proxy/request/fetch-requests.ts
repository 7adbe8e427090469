import type { ForwardReason } from '../../policies/http/cache-status.ts';
import { fieldValues, hasField, type Fields } from '../../policies/http/fields.ts';
import { writtenFields } from '../../policies/http/forwarding.ts';
import { unkeyedRequestFields } from '../../policies/key.ts';
import type { StoredEntry } from '../store/entry.ts';
import type { Clock } from '../threads/clock.ts';
import type { FetchRequest, Waiter } from '../fetch/fetch-request.ts';
import { sentFields, type KeyedContext } from './context.ts';

/** Why the origin is asked, and what might stand in for it if it fails. */
export interface FetchReason {
  readonly forward: ForwardReason;
  readonly reason: string;
  readonly stale: StoredEntry | null;
}

export const MISSING: FetchReason = { forward: 'uri-miss', reason: 'miss', stale: null };

/** What the origin is asked for several clients: nothing that is not in the key steers the origin. */
export function fetchRequestOf(
  context: KeyedContext,
  priority: FetchRequest['priority'],
  stale: StoredEntry | null,
): FetchRequest {
  const { exchange, route, params, authority, scheme, path, keyedQuery, key } = context;
  // An entry that is stored whole is validated as a whole, and the range is cut from it.
  const isWhole = stale !== null && stale.meta.part === null;
  const method = priority === 'client' && exchange.method === 'HEAD' ? 'HEAD' : 'GET';
  const asksPart =
    method === 'GET' &&
    route.config.cache.rangeMiss === 'pass' &&
    !isWhole &&
    hasField(exchange.fields, 'range');
  const sent = sentFields(context);
  return {
    key,
    route: route.config.name,
    method,
    path,
    query: keyedQuery,
    authority,
    scheme,
    request: { method: 'GET', fields: exchange.fields, written: writtenFields(sent) },
    originFields: [
      ...unkeyedRequestFields(sent, route.config.cache),
      ...(asksPart ? rangeFields(exchange.fields) : []),
    ],
    asksPart,
    routeTags: route.tagsFor(params),
    priority,
    hasStored: stale !== null,
  };
}

/** The client as a waiter for the fetch. */
export function waiterOf(context: KeyedContext, clock: Clock): Omit<Waiter, 'inform' | 'deliver'> {
  const { arrival, arrivedAtMs, request } = context;
  return { arrival, arrivedAtMs, waitsSinceMs: clock.monotonicMs(), request };
}

function rangeFields(fields: Fields): string[] {
  return RANGE.flatMap((name) => fieldValues(fields, name).flatMap((value) => [name, value]));
}

const RANGE = ['range', 'if-range'];
