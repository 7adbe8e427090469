import { downstreamFields, passedFields, rewritesLifetime } from '../../../policies/http/downstream.ts';
import { withoutFields, type Fields } from '../../../policies/http/fields.ts';
import { hasUnkeyedFields, originForm } from '../../../policies/key.ts';
import { isStaleIfErrorStatus } from '../../../policies/rfc9111/reuse.ts';
import { decideStoring, type ReceivedResponse } from '../../../policies/rfc9111/storing.ts';
import type { Clock } from '../../threads/clock.ts';
import type { FenceReader } from '../../fence/reader.ts';
import type { FetchRequest } from '../../fetch/fetch-request.ts';
import type { Fetches } from '../../fetch/fetches.ts';
import type { PassedAnswer } from '../../fetch/sharing.ts';
import { lessonOf, type Learner, type Lesson } from '../../store/learner.ts';
import { receivedResponse } from '../../store/received.ts';
import { fetchRequestOf, type FetchReason } from '../fetch-requests.ts';
import type { PassHandler } from './pass.ts';
import type { Positions } from '../positions.ts';
import type { KeyedContext } from '../context.ts';

export interface PrivateFetchDependencies {
  readonly clock: Clock;
  readonly passHandler: PassHandler;
  readonly flights: Fetches;
  readonly fence: FenceReader;
  readonly positions: Positions;
  readonly learner: Learner;
}

/** Asks the origin for one client alone. The response may change what is known of stored entries. */
export class PrivateFetch {
  readonly #deps: PrivateFetchDependencies;

  constructor(deps: PrivateFetchDependencies) {
    this.#deps = deps;
  }

  /** Where the origin fails, `standIn` may respond in its place; false: nothing stands in. */
  begin(context: KeyedContext, reason: string, why: FetchReason, standIn: () => boolean): void {
    const { passHandler, flights, fence, clock } = this.#deps;
    const floor = fence.published();
    const answered = {
      request: { method: 'GET', fields: context.exchange.fields },
      requestTimeMs: clock.nowMs(),
      authority: context.authority,
      route: context.route,
    };
    const received = (status: number, fields: Fields): ReceivedResponse =>
      receivedResponse(clock, answered, status, fields);
    const yieldsLesson = mayYieldLesson(context, why);
    let shared: FetchRequest | null = null;
    const asShared = (): FetchRequest => (shared ??= fetchRequestOf(context, 'client', why.stale));
    const note = (answer: PassedAnswer): void => {
      // A request that is passed for another reason may fail for that reason.
      if (reason === 'uncacheable') flights.notePassed(asShared(), answer);
    };
    passHandler.enter(context, reason, {
      outcome: 'pass',
      forward: why.forward,
      path: originForm(context.path, context.keyedQuery),
      onHead: (status, fields) => {
        const ownFields = (): Fields => this.#deps.positions.ofPassed(context, fields);
        note({ kind: 'answered', status });
        if (reason === 'uncacheable') {
          const decision = decideStoring(received(status, fields));
          if (decision.kind === 'store') flights.forgetHitForMiss(asShared());
        }
        const lesson = yieldsLesson ? lessonFrom(context, why, floor, received(status, fields)) : null;
        if (lesson === null || !this.#deps.learner.concerns(lesson, why.stale !== null)) return ownFields();
        return this.#deps.learner.learn(lesson).then(ownFields);
      },
      // A response that a GET would store, or a 304, gets the fields that a hit would get.
      told: (status, fields) => {
        const { cache } = context.route.config;
        if (!rewritesLifetime(cache)) return passedFields(fields, cache);
        const stored = status === 304 ? 200 : status;
        const decision = decideStoring(received(stored, fields));
        return decision.kind === 'store' ? downstreamFields(fields, cache) : passedFields(fields, cache);
      },
      // Only the origin may evaluate the client's own condition.
      onStatus: (status) => {
        if (reason === 'precondition' || !isStaleIfErrorStatus(status)) return false;
        if (!standIn()) return false;
        note({ kind: 'answered', status });
        return true;
      },
      onFailure: (failure) => {
        note({ kind: 'failed', failure });
        return standIn();
      },
    });
  }
}

function lessonFrom(
  { exchange, key, route, request, path, keyedQuery }: KeyedContext,
  { stale }: FetchReason,
  floor: number,
  received: ReceivedResponse,
): Lesson {
  const asked = { key, route: route.config.name, path, query: keyedQuery };
  return lessonOf(asked, {
    ...received,
    // Plain data: it is sent to other workers.
    request: { ...received.request, written: request.written ?? [] },
    asked: { method: exchange.method, conditions: 'client', isInQuestion: stale !== null },
    floor,
    storing: decideStoring(received),
    isKept: false,
  });
}

/**
 * A passed request may have fields that the key leaves out, and the response may depend on them. Conditions and ranges are
 * exempt: the response's status tells their effect. Without a stored entry that could have answered, there is nothing to learn.
 */
function mayYieldLesson({ exchange, route }: KeyedContext, { forward }: FetchReason): boolean {
  if (forward === 'uri-miss' || forward === 'vary-miss') return false;
  return !hasUnkeyedFields(withoutFields(exchange.fields, CONDITIONS), route.config.cache);
}

const CONDITIONS: ReadonlySet<string> = new Set([
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'range',
]);
