import { cacheStatus } from '../../../policies/http/cache-status.ts';
import { passedFields } from '../../../policies/http/downstream.ts';
import { withoutFields } from '../../../policies/http/fields.ts';
import { endToEnd, VIA } from '../../../policies/http/forwarding.ts';
import { interimFields } from '../../../policies/http/interim.ts';
import { evaluatePreconditions } from '../../../policies/rfc9110/preconditions.ts';
import { dateValueMs } from '../../../policies/rfc9111/freshness.ts';
import { validatorsOf } from '../../../policies/rfc9111/storing.ts';
import type { FetchResult, PassedResult } from '../../fetch/fetch-request.ts';
import type { Fetches } from '../../fetch/fetches.ts';
import { readFlight } from '../../store/content.ts';
import type { Clock } from '../../threads/clock.ts';
import type { AccessRecords } from '../access-records.ts';
import { keyedStatus, type KeyedContext } from '../context.ts';
import { fetchRequestOf, waiterOf, type FetchReason } from '../fetch-requests.ts';
import type { Positions } from '../positions.ts';
import { sendContent } from '../send-content.ts';

export interface CollapsedFetchDependencies {
  readonly flights: Fetches;
  readonly clock: Clock;
  readonly accessRecords: AccessRecords;
  readonly positions: Positions;
}

/** Asks the origin once for all clients with the same request, and relays responses that may not be stored. */
export class CollapsedFetch {
  readonly #deps: CollapsedFetchDependencies;

  constructor(deps: CollapsedFetchDependencies) {
    this.#deps = deps;
  }

  /**
   * Calls `deliver` once, unless the client leaves before. False, and nothing is asked, where responses to such requests are
   * known not to be shared.
   */
  begin(context: KeyedContext, { stale }: FetchReason, deliver: (result: FetchResult) => void): boolean {
    const { flights, clock, accessRecords } = this.#deps;
    const request = fetchRequestOf(context, 'client', stale);
    if (flights.isHitForMiss(request)) return false;
    let leave: () => boolean = () => false;
    context.exchange.onGone(() => {
      if (leave()) accessRecords.abandoned(context, 'flight');
    });
    leave = flights.join(request, {
      ...waiterOf(context, clock),
      inform: (status, fields) => context.exchange.inform(status, interimFields(fields)),
      deliver,
    });
    return true;
  }

  /** Sends a response that may not be stored. The client's own conditions were not sent to the origin. */
  relay(context: KeyedContext, why: FetchReason, passed: PassedResult): void {
    const { accessRecords, positions, clock } = this.#deps;
    const { exchange } = context;
    const reason = exchange.method === 'HEAD' ? 'head' : passed.reason;
    const status = keyedStatus(context, { fwd: why.forward, fwdStatus: passed.status, detail: reason });
    const own = ['Via', VIA, 'Cache-Status', cacheStatus(status)];
    own.push(...positions.ofPassed(context, passed.fields));
    const received = endToEnd(passedFields(passed.fields, context.route.config.cache));
    if (isUnmodified(context, passed, clock.nowMs())) {
      passed.body.desertIfUnread();
      exchange.respond(304, [...withoutFields(received, OF_CONTENT), ...own], null);
      accessRecords.whenEnded(context, 'pass', reason, 304);
      return;
    }
    const sink = exchange.stream(passed.status, [...received, ...own]);
    let wake: () => void = () => {};
    const reader = readFlight(passed.body, null, 0, () => wake());
    wake = sendContent(reader, exchange, sink, Number.POSITIVE_INFINITY);
    wake();
    accessRecords.whenEnded(context, 'pass', reason, passed.status);
  }
}

/** RFC 9110 §13.1.2, §13.1.3: whether the client already has this response. */
function isUnmodified(context: KeyedContext, { status, fields }: PassedResult, nowMs: number): boolean {
  // Only Last-Modified tells when it was modified: the response was made for this request.
  const selected = { status, dateMs: Infinity, ...validatorsOf(fields, dateValueMs(fields, nowMs)) };
  return evaluatePreconditions(context.request, selected, nowMs) === 'not-modified';
}

/** What a 304 leaves out of the response that it replaces (RFC 9110 §15.4.5). */
const OF_CONTENT: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-language',
  'content-length',
  'content-range',
  'content-type',
]);
