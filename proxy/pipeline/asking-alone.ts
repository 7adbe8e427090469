import { downstreamFields, passedFields, rewritesLifetime } from '../../policies/http/downstream.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { hasUnkeyedFields } from '../../policies/key.ts';
import { isStaleIfErrorStatus } from '../../policies/rfc9111/reuse.ts';
import { decideStoring } from '../../policies/rfc9111/storing.ts';
import { freshenByHead } from '../../policies/rfc9111/validation.ts';
import { groupSite, tagOfUrl } from '../../policies/tags.ts';
import { changesFields, namesNewTags, updatedHead, type EntryHead } from '../cache/entry.ts';
import type { Levels } from '../cache/levels.ts';
import { wallMs, type Clock } from '../clock.ts';
import type { FenceReader } from '../fence/reader.ts';
import type { Flights } from '../flights/flights.ts';
import { mayStandIn, type Need, type RunSteps } from './cache-step.ts';
import { fillOf } from './fill-request.ts';
import { originForm, type PassWay } from './pass-way.ts';
import type { Positions } from './positions.ts';
import type { KeyedVisit } from './visit.ts';

export interface AskingAloneDependencies {
  readonly passWay: PassWay;
  readonly flights: Flights;
  readonly levels: Levels;
  readonly fence: FenceReader;
  readonly clock: Clock;
  readonly positions: Positions;
  /** As a fill has it. */
  outdateCopies(head: EntryHead, urlTag: string): Promise<EntryHead>;
  /** Makes all that bears the tag invalid, on every worker. Never rejects. */
  outdate(tag: string): Promise<void>;
  /** What this worker has learnt of an entry of which others may have copies in memory. Resolves when they know. */
  tellPeers(head: EntryHead): Promise<void>;
}

/** The step that asks the origin for one client alone. What is stored may learn from the answer. */
export class AskingAlone {
  readonly #deps: AskingAloneDependencies;
  readonly #run: RunSteps;

  constructor(deps: AskingAloneDependencies, run: RunSteps) {
    this.#deps = deps;
    this.#run = run;
  }

  pass(visit: KeyedVisit, reason: string, need: Need): null {
    const { passWay, flights, fence, clock } = this.#deps;
    const { exchange } = visit;
    // It is passed as it is: what the key leaves out may steer the answer, but not what is stored.
    const teaches =
      exchange.method === 'HEAD' && !hasUnkeyedFields(exchange.fields, visit.route.config.cache);
    const requestTimeMs = clock.nowMs();
    passWay.enter(visit, reason, {
      outcome: 'pass',
      forward: need.forward,
      path: originForm(visit.path, visit.keyedQuery),
      onHead: (status, fields) => {
        const ownFields = (): Fields => this.#deps.positions.ofPassed(visit, fields);
        if (teaches) return this.#learnFromHead(visit, need, status, fields, requestTimeMs).then(ownFields);
        if (reason === 'uncacheable') {
          const decision = decideStoring(this.#received(visit, status, fields, requestTimeMs));
          if (decision.kind === 'store') flights.forgetUncacheable(fillOf(visit, 'client', need.stale));
        }
        return ownFields();
      },
      // What a GET would store, or a 304 confirms, is told as a hit on it would be.
      told: (status, fields) => {
        const { cache } = visit.route.config;
        if (!rewritesLifetime(cache)) return passedFields(fields, cache);
        const stored = status === 304 ? 200 : status;
        const decision = decideStoring(this.#received(visit, stored, fields, requestTimeMs));
        return decision.kind === 'store' ? downstreamFields(fields, cache) : passedFields(fields, cache);
      },
      // A client's own condition is the origin's to judge.
      onStatus: (status) => {
        if (reason === 'precondition' || !isStaleIfErrorStatus(status)) return false;
        if (!mayStandIn(need, clock.nowMs(), fence)) return false;
        this.#run({ to: 'stand-in', visit, need });
        return true;
      },
      onFailure: () => {
        if (!mayStandIn(need, clock.nowMs(), fence)) return false;
        this.#run({ to: 'stand-in', visit, need });
        return true;
      },
    });
    return null;
  }

  /** RFC 9111 §4.3.5: the answer to a HEAD freshens the GET's entry, or shows that it is no longer the same. */
  async #learnFromHead(
    visit: KeyedVisit,
    need: Need,
    status: number,
    fields: Fields,
    requestTimeMs: number,
  ): Promise<void> {
    const entry = need.stale;
    if (entry === null) return;
    const { levels, fence, outdate, outdateCopies, tellPeers } = this.#deps;
    const state = fence.verdict(entry).kind;
    const verdict = freshenByHead(entry.meta, status, this.#received(visit, status, fields, requestTimeMs));
    const urlTag = tagOfUrl(null, visit.path, visit.keyedQuery);
    if (verdict.kind === 'invalid' && (state === 'clear' || state === 'soft')) await outdate(urlTag);
    // An invalidated entry is confirmed by a validator alone, which a HEAD does not send.
    if (verdict.kind === 'freshened' && state === 'clear') {
      const updated = updatedHead(entry.head, verdict.meta, fence.hasher);
      const isElsewhere = namesNewTags(entry.head, verdict.meta) || changesFields(entry.head, verdict.meta);
      const head = isElsewhere ? await outdateCopies(updated, urlTag) : updated;
      await Promise.all([levels.update(head), tellPeers(head)]);
    }
  }

  #received(visit: KeyedVisit, status: number, fields: Fields, requestTimeMs: number) {
    return {
      request: { method: 'GET', fields: visit.exchange.fields },
      status,
      fields,
      requestTimeMs,
      responseTimeMs: this.#deps.clock.nowMs(),
      receiptMs: wallMs(this.#deps.clock),
      policy: visit.route.config.cache,
      authority: groupSite(visit.route.originConfig, visit.authority),
    };
  }
}
