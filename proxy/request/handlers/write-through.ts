import { originForm } from '../../../policies/key.ts';
import { outcomeOfStatus, outcomeOfFailure, type WriteOutcome } from '../../../policies/writes.ts';
import type { AccessRecords } from '../access-records.ts';
import type { PassOptions, PassHandler } from './pass.ts';
import { refuse, refuseHeld } from '../error-responses.ts';
import type { Positions } from '../positions.ts';
import { holdClient, type RoutedContext } from '../context.ts';
import type { RuntimeConfiguration } from '../../origins/active-route.ts';
import { laterTags, targetTags, writtenTags, type SentWrite } from '../../../policies/written-tags.ts';
import type { OrderQueueKey } from '../../writes/journal/order-queues.ts';
import type { EntryStore } from '../written-entries/store-entry.ts';
import { PutEntry } from '../written-entries/from-put.ts';
import type { JournalClient } from '../../writes/calls.ts';

export interface WriteThroughDependencies {
  readonly journal: JournalClient;
  readonly passHandler: PassHandler;
  readonly positions: Positions;
  readonly accessRecords: AccessRecords;
  /** Stores a PUT as the entry, where the route says `update`. */
  readonly entryStore: EntryStore;
  /** The configuration in force. */
  configuration(): RuntimeConfiguration;
}

/** What is sent in place of parts of the client's request. */
export type SentInstead = Pick<PassOptions, 'fields' | 'body' | 'isWhole'>;

/** The policy `through`: the tags are held before the write is sent, and invalid before the client gets the response. */
export class WriteThroughHandler {
  readonly #deps: WriteThroughDependencies;
  #tickets = 0;

  constructor(deps: WriteThroughDependencies) {
    this.#deps = deps;
  }

  enter(context: RoutedContext, reason: string, sent: SentInstead): void {
    void this.#admit(context, reason, sent);
  }

  async #admit(context: RoutedContext, reason: string, sent: SentInstead): Promise<void> {
    const { journal } = this.#deps;
    const { exchange, route, configuration } = context;
    const { queue, maxProcessingMs } = route.originConfig;
    this.#tickets += 1;
    const ticket = this.#tickets;
    const orderQueue = orderQueueOf(context);
    const tags = [
      ...new Set([
        ...targetTags(configuration.config, { authority: context.authority, target: orderQueue.target }),
        ...routeTags(context),
      ]),
    ];
    exchange.onGone(() => journal.abandonThrough(ticket));
    const admission = await journal
      .admitThrough({
        ticket,
        queue: orderQueue,
        client: holdClient(context),
        tags,
        waitMs: queue.timeoutMs,
        waiting: queue.size,
        maxProcessingMs,
      })
      // The coordinator logs a call that fails.
      .catch(() => ({ kind: 'not-durable' }) as const);
    switch (admission.kind) {
      case 'admitted':
        if (exchange.closed) {
          this.#deps.accessRecords.whenEnded(context, 'write', reason, 0);
          await this.#settle(admission.hold, 'rejected', []);
        } else this.#send(context, reason, sent, admission.hold);
        return;
      case 'busy':
        refuse(context, this.#deps.accessRecords, 'busy');
        return;
      case 'over-limit':
        refuseHeld(context, this.#deps.accessRecords, admission.bound);
        return;
      case 'not-durable':
        refuse(context, this.#deps.accessRecords, 'not-durable');
        return;
      default:
        admission satisfies never;
    }
  }

  #send(context: RoutedContext, reason: string, sent: SentInstead, hold: number): void {
    const { passHandler, entryStore, positions } = this.#deps;
    const { route, configuration } = context;
    const entry = route.config.write.update ? PutEntry.capture(context, entryStore, sent.body) : null;
    let isSettled = false;
    passHandler.enter(context, reason, {
      outcome: 'write',
      forward: 'method',
      ...sent,
      ...(entry === null ? {} : { body: entry.body }),
      outlivesClient: true,
      onHead: async (status, fields) => {
        isSettled = true;
        const tags = writtenTags(configuration.config, route.originConfig, sentWrite(context), {
          status,
          fields,
        });
        const outcome = outcomeOfStatus(status);
        if (outcome !== 'rejected') tags.push(...this.#laterTags(context, { status, fields }));
        const entryTags = outcome === 'applied' ? (entry?.tagsFor(status, fields) ?? null) : null;
        const floor = await this.#settle(hold, outcome, tags, entryTags);
        if (floor !== null) entry?.store(floor);
        return positions.ofWrite(context, status, fields);
      },
      beforeErrorResponse: async (failure) => {
        if (isSettled) return;
        const outcome = outcomeOfFailure(failure);
        const tags = outcome === 'rejected' ? [] : this.#laterTags(context, null);
        await this.#settle(hold, outcome, tags);
      },
      onSettled: (settled) => {
        if (isSettled || typeof settled !== 'string') return;
        if (settled === 'unsent') void this.#settle(hold, 'rejected', []);
        else void this.#settle(hold, 'unknown', this.#laterTags(context, null));
      },
    });
  }

  #laterTags(context: RoutedContext, response: Parameters<typeof laterTags>[3]): string[] {
    const inForce = this.#deps.configuration();
    if (inForce === context.configuration) return [];
    return laterTags(inForce, context.route.originConfig, sentWrite(context), response);
  }

  /** If the call fails, which the coordinator logs, the next start finds the hold as one of unknown outcome. */
  async #settle(
    hold: number,
    outcome: WriteOutcome,
    moreTags: readonly string[],
    entryTags: readonly string[] | null = null,
  ): Promise<number | null> {
    try {
      const { floor } = await this.#deps.journal.settleThrough({ hold, outcome, moreTags, entryTags });
      return floor;
    } catch {
      return null;
    }
  }
}

/** The order queue of the request's URL, or of the URL with another query. */
export function orderQueueOf(context: RoutedContext, query = context.query): OrderQueueKey {
  const { route, authority, path } = context;
  return {
    origin: route.config.origin,
    authority: route.originConfig.hostHeader === 'client' ? authority : null,
    target: originForm(path, query),
  };
}

export function sentWrite({ exchange, path, query, authority, scheme }: RoutedContext): SentWrite {
  return { method: exchange.method, target: originForm(path, query), authority, scheme };
}

export function routeTags({ route, params }: RoutedContext): string[] {
  return route.writeTagsFor(params);
}
