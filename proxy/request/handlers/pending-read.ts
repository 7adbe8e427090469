import { cacheStatus } from '../../../policies/http/cache-status.ts';
import { VIA } from '../../../policies/http/forwarding.ts';
import { keyedQuery, originForm } from '../../../policies/key.ts';
import type { FenceReader } from '../../fence/reader.ts';
import type { AccessRecords } from '../access-records.ts';
import { refuse } from '../error-responses.ts';
import type { RoutedContext } from '../context.ts';
import type { Pending } from '../../writes/journal/pending-writes.ts';
import { orderQueueOf } from './write-through.ts';
import type { JournalClient } from '../../writes/calls.ts';
import { targetTag } from '../../../policies/written-tags.ts';

/** Whether writes to the request's URL, with this query, wait or are under way; may also be true for another held tag. */
export function mayHaveWrites(context: RoutedContext, fence: FenceReader, query = context.query): boolean {
  if (!fence.holdsAny()) return false;
  const { configuration, authority, path } = context;
  const tags = targetTag(configuration.config, { authority, target: originForm(path, query) });
  return fence.isHeld(fence.hasher.hash(tags));
}

/** The query as the client has it, and as the origin is asked for it. */
function queriesOf({ query, route }: RoutedContext): string[] {
  return [...new Set([query, keyedQuery(query, route.config.cache.key.query)])];
}

export interface PendingReadDependencies {
  readonly journal: JournalClient;
  readonly fence: FenceReader;
  readonly accessRecords: AccessRecords;
}

/** Reads of a URL with waiting writes, where the route's `reads` is `wait` or `pending`. */
export class PendingReadHandler {
  readonly #deps: PendingReadDependencies;

  constructor(deps: PendingReadDependencies) {
    this.#deps = deps;
  }

  /** Whether writes to the URL may wait, by the fence alone, without a call to the coordinator. */
  concerns(context: RoutedContext): boolean {
    if (context.route.config.write.reads === 'pass') return false;
    const { fence } = this.#deps;
    return fence.holdsAny() && queriesOf(context).some((query) => mayHaveWrites(context, fence, query));
  }

  /** `otherwise` handles the request once no write waits, or after the time for which a reader waits. */
  enter(context: RoutedContext, otherwise: () => void): void {
    const { reads } = context.route.config.write;
    const mode = reads === 'pending' ? 'pending' : 'wait';
    const { timeoutMs: waitMs } = context.route.originConfig.queue;
    const queues = queriesOf(context).map((query) => orderQueueOf(context, query));
    this.#deps.journal.readPending({ queues, mode, waitMs }).then(
      (pending) => this.#respond(context, pending, otherwise),
      // The coordinator logs a call that fails. The cache answers as it does after the wait.
      () => this.#respond(context, { kind: 'none' }, otherwise),
    );
  }

  #respond(context: RoutedContext, pending: Pending, otherwise: () => void): void {
    const { exchange } = context;
    if (exchange.closed) {
      this.#deps.accessRecords.abandoned(context, 'pending');
      return;
    }
    const cache = { hit: true, detail: 'pending' };
    switch (pending.kind) {
      case 'none':
        otherwise();
        return;
      case 'deleted':
        refuse(context, this.#deps.accessRecords, 'pending', { cache });
        return;
      case 'content':
        exchange.respond(
          200,
          [...pending.fields, 'Cache-Control', 'no-store', 'Cache-Status', cacheStatus(cache), 'Via', VIA],
          pending.content,
        );
        this.#deps.accessRecords.whenEnded(context, 'hit', 'pending', 200);
        return;
      default:
        pending satisfies never;
    }
  }
}
