import { cacheStatus } from '../../../policies/http/cache-status.ts';
import { passedFields } from '../../../policies/http/downstream.ts';
import { withoutFields } from '../../../policies/http/fields.ts';
import { endToEnd, VIA } from '../../../policies/http/forwarding.ts';
import { interimFields } from '../../../policies/http/interim.ts';
import { evaluatePreconditions } from '../../../policies/rfc9110/preconditions.ts';
import { dateValueMs } from '../../../policies/rfc9111/freshness.ts';
import { isStaleIfErrorStatus } from '../../../policies/rfc9111/reuse.ts';
import { validatorsOf } from '../../../policies/rfc9111/storing.ts';
import { readFlight } from '../../store/content.ts';
import type { Flights } from '../../fetch/flights.ts';
import type { FetchResult } from '../../fetch/fetch-request.ts';
import {
  mayStandIn,
  type CacheStep,
  type FetchReason,
  type RunSteps,
  type StandingIn,
} from '../cache-steps.ts';
import type { AccessRecords } from '../access-records.ts';
import { fillOf, waiterOf } from '../fetch-requests.ts';
import type { Positions } from '../positions.ts';
import { pumpContent } from '../send-content.ts';
import { refuse } from '../error-responses.ts';
import { keyedStatus, type KeyedContext } from '../context.ts';

export interface CollapsedFetchDependencies extends StandingIn {
  readonly flights: Flights;
  readonly accessRecords: AccessRecords;
  readonly positions: Positions;
}

/** The step that asks the origin together with others, and what follows from its answer. */
export class CollapsedFetch {
  readonly #deps: CollapsedFetchDependencies;
  readonly #run: RunSteps;

  constructor(deps: CollapsedFetchDependencies, run: RunSteps) {
    this.#deps = deps;
    this.#run = run;
  }

  obtain(context: KeyedContext, need: FetchReason): CacheStep | null {
    const { flights, clock, accessRecords } = this.#deps;
    const fill = fillOf(context, 'client', need.stale);
    if (flights.isHitForMiss(fill)) return { to: 'pass', context, reason: 'uncacheable', need };
    let leave: () => boolean = () => false;
    context.exchange.onGone(() => {
      if (leave()) accessRecords.abandoned(context, 'flight');
    });
    leave = flights.obtain(fill, {
      ...waiterOf(context, clock),
      inform: (status, fields) => context.exchange.inform(status, interimFields(fields)),
      take: (found) => {
        const next = this.#found(context, need, found);
        if (next !== null) this.#run(next);
      },
    });
    return null;
  }

  #found(context: KeyedContext, need: FetchReason, found: FetchResult): CacheStep | null {
    if (context.exchange.closed) {
      this.#deps.accessRecords.abandoned(context, 'flight');
      if (found.kind === 'pass') found.body.desertIfUnread();
      return null;
    }
    switch (found.kind) {
      case 'entry':
        if (isStaleIfErrorStatus(found.originStatus ?? 200) && mayStandIn(this.#deps, context, need)) {
          return { to: 'stand-in', context, need };
        }
        return { to: 'serve-found', context, need, found };
      case 'pass':
        if (isStaleIfErrorStatus(found.status) && mayStandIn(this.#deps, context, need)) {
          found.body.desertIfUnread();
          return { to: 'stand-in', context, need };
        }
        return this.#servePassed(context, need, found);
      case 'unshareable':
        return { to: 'pass', context, reason: found.reason, need };
      case 'failed':
        if (mayStandIn(this.#deps, context, need)) return { to: 'stand-in', context, need };
        return { to: 'fail', context, need, failure: found.failure };
      case 'failing':
        if (isStaleIfErrorStatus(found.status) && mayStandIn(this.#deps, context, need)) {
          return { to: 'stand-in', context, need };
        }
        return { to: 'fail-alike', context, need, status: found.status };
      case 'refused':
        return this.#refuseBusy(context, found.limit);
      default:
        return found satisfies never;
    }
  }

  /** The answer to this client's own request, which may not be stored; its conditions were not sent. */
  #servePassed(
    context: KeyedContext,
    need: FetchReason,
    found: FetchResult & { readonly kind: 'pass' },
  ): null {
    const { exchange } = context;
    const reason = exchange.method === 'HEAD' ? 'head' : found.reason;
    const status = keyedStatus(context, { fwd: need.forward, fwdStatus: found.status, detail: reason });
    const own = ['Via', VIA, 'Cache-Status', cacheStatus(status)];
    own.push(...this.#deps.positions.ofPassed(context, found.fields));
    const received = endToEnd(passedFields(found.fields, context.route.config.cache));
    if (isUnmodified(context, found, this.#deps.clock.nowMs())) {
      found.body.desertIfUnread();
      exchange.respond(304, [...withoutFields(received, OF_CONTENT), ...own], null);
      this.#deps.accessRecords.whenEnded(context, 'pass', reason, 304);
      return null;
    }
    const fields = [...received, ...own];
    const sink = exchange.stream(found.status, fields);
    let wake: () => void = () => {};
    const reader = readFlight(found.body, null, 0, () => wake());
    wake = pumpContent(reader, exchange, sink, Number.POSITIVE_INFINITY);
    wake();
    this.#deps.accessRecords.whenEnded(context, 'pass', reason, found.status);
    return null;
  }

  #refuseBusy(context: KeyedContext, limit: 'waiters' | 'waiting'): null {
    const cache = keyedStatus(context, { fwd: 'miss', detail: limit });
    refuse(context, this.#deps.accessRecords, limit, { cache });
    return null;
  }
}

/** RFC 9110 §13.1.2, §13.1.3: whether the client has what was answered already. */
function isUnmodified(context: KeyedContext, { status, fields }: Answered, nowMs: number): boolean {
  // No date but Last-Modified tells when it was modified: it was made for this request.
  const selected = { status, dateMs: Infinity, ...validatorsOf(fields, dateValueMs(fields, nowMs)) };
  return evaluatePreconditions(context.request, selected, nowMs) === 'not-modified';
}

type Answered = Pick<FetchResult & { readonly kind: 'pass' }, 'status' | 'fields'>;

/** What a 304 leaves out of the answer in whose place it stands (RFC 9110 §15.4.5). */
const OF_CONTENT: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-language',
  'content-length',
  'content-range',
  'content-type',
]);
