import type { Fields } from '../../../policies/http/fields.ts';
import { decideStoring } from '../../../policies/rfc9111/storing.ts';
import { mayBeDueTo } from '../../../policies/rfc9111/validation.ts';
import type { FetchContext } from '../fetch-context.ts';
import type { AskedEntries, NextFetchState } from '../machine.ts';

/** Selects the next state by the response's head. */
export function judgeHead(
  fetch: FetchContext,
  asked: AskedEntries,
  status: number,
  fields: Fields,
): NextFetchState<'head'> {
  if (mayBeDueTo(asked.conditions, status)) {
    // The response to the request without conditions counts, whatever it is.
    fetch.counters.conditionsRefused += 1;
    return { at: 'retry', asked };
  }
  if (status === 304 && asked.own.length + asked.others.length > 0) return { at: 'confirm', asked, fields };
  if (asked.incomplete !== null && status === 206) return { at: 'complete', asked, status, fields };
  const decision = decideStoring(fetch.received(status, fields));
  if (decision.kind === 'store') return { at: 'storable', asked, status, fields, meta: decision.meta };
  const lesson = fetch.lesson(asked, status, fields, decision, false);
  return { at: 'private', status, fields, reason: decision.reason, lesson };
}
