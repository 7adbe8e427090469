/** RFC 9110 §9.3.3: a response to POST that also answers later GETs of its target. */
import { fieldValues, hasField } from '../http/fields.ts';
import { normalizeTarget, originForm } from '../key.ts';
import type { LifetimeSource, StoringDecision } from '../model.ts';
import { sameOriginTarget, type UnsafeExchange } from './invalidation.ts';
import { decideStoring, type ReceivedResponse } from './storing.ts';

/**
 * `store` only where the response has explicit freshness and a Content-Location equal to the target. The route's own
 * lifetimes do not count as explicit freshness, and a response with an Age was generated before the POST.
 */
export function decidePostEntry(received: ReceivedResponse, exchange: UnsafeExchange): StoringDecision {
  const { request, status, fields, policy } = received;
  const mayAnswerGet =
    request.method === 'POST' && status === 200 && policy.freshness === 'headers' && !hasField(fields, 'age');
  if (!mayAnswerGet || !isLocatedAtTarget(exchange)) return { kind: 'not', reason: 'method' };
  const decision = decideStoring({ ...received, request: { ...request, method: 'GET' } });
  if (decision.kind === 'store' && !EXPLICIT.has(decision.meta.lifetimeSource)) {
    return { kind: 'not', reason: 'no-freshness' };
  }
  return decision;
}

const EXPLICIT: ReadonlySet<LifetimeSource> = new Set(['targeted', 's-maxage', 'max-age', 'expires']);

function isLocatedAtTarget(exchange: UnsafeExchange): boolean {
  const target = normalizeTarget(exchange.target);
  const [location, ...others] = fieldValues(exchange.fields, 'content-location');
  if (target === null || location === undefined || others.length > 0) return false;
  return sameOriginTarget(location, exchange) === originForm(target.path, target.query);
}
