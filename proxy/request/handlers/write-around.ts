import { outcomeOfStatus, outcomeOfFailure } from '../../../policies/writes.ts';
import {
  orderQueueOf,
  routeTags,
  sentWrite,
  type SentInstead,
  type WriteThroughDependencies,
} from './write-through.ts';
import type { Fields } from '../../../policies/http/fields.ts';
import { PostResponseEntry } from '../written-entries/from-post.ts';
import { laterTags, writtenTags } from '../../../policies/written-tags.ts';
import type { AskedEntry, Invalidated } from '../../fence/fence.ts';
import { refuse, refuseHeld } from '../error-responses.ts';
import { holdClient, type RoutedContext } from '../context.ts';
import type { UnheldWrite } from '../../writes/through/gate.ts';

/** A worker's way to invalidate. */
export interface Invalidator {
  /** Resolves when the tags are invalid for every worker, durably; rejects where the state can't be written. */
  invalidate(tags: readonly string[], entry?: AskedEntry): Promise<Invalidated>;
}

export interface WriteAroundDependencies extends WriteThroughDependencies {
  readonly invalidator: Invalidator;
  onNotDurable(error: unknown): void;
}

/** The policy `around`: the write is sent without a hold, and its tags are invalid before the client gets the response. */
export class WriteAroundHandler {
  readonly #deps: WriteAroundDependencies;

  constructor(deps: WriteAroundDependencies) {
    this.#deps = deps;
  }

  enter(context: RoutedContext, sent: SentInstead): void {
    void this.#admit(context, sent);
  }

  /** Passes the request on. What RFC 9111 §4.4 and the route name is invalid before the client gets the response. */
  async #admit(context: RoutedContext, sent: SentInstead): Promise<void> {
    const { journal, accessRecords } = this.#deps;
    // The coordinator logs a call that fails.
    const admission = await journal.takeSlot(this.#unheld(context)).catch(() => null);
    if (context.exchange.closed) {
      if (admission?.kind === 'admitted') journal.giveSlot(admission.slot);
      accessRecords.whenEnded(context, 'write', 'around', 0);
    } else if (admission === null) {
      refuse(context, accessRecords, 'stopping');
    } else if (admission.kind === 'over-limit') refuseHeld(context, accessRecords, admission.bound);
    else this.#sendAround(context, sent, admission.slot);
  }

  #sendAround(context: RoutedContext, sent: SentInstead, slot: number): void {
    const { entryStore, journal } = this.#deps;
    const entry = PostResponseEntry.expect(context, entryStore);
    let isKnown = false;
    this.#deps.passHandler.enter(context, 'around', {
      outcome: 'write',
      forward: 'method',
      ...sent,
      // A write that is carried out after its client left must invalidate all the same.
      outlivesClient: true,
      onHead: async (status, fields) => {
        isKnown = true;
        const tags = this.#tagsOf(context, status, fields);
        if (outcomeOfStatus(status) === 'unknown') await this.#outlast(context, slot);
        else {
          if (tags.length > 0) {
            const invalidated = await this.#invalidate(tags, entry?.answered(status, fields));
            if (invalidated !== null) entry?.invalidated(invalidated);
          }
          // If this worker dies before, the coordinator places the hold that goes with the slot.
          journal.giveSlot(slot);
        }
        return this.#deps.positions.ofWrite(context, status, fields);
      },
      onContent: (chunk) => entry?.append(chunk),
      beforeErrorResponse: async (failure) => {
        if (outcomeOfFailure(failure) === 'unknown') await this.#outlast(context, slot);
        else journal.giveSlot(slot);
      },
      onSettled: (settled) => {
        if (settled === 'whole') entry?.finish();
        if (settled === 'cut' && !isKnown) void this.#outlast(context, slot);
        if (settled === 'unsent') journal.giveSlot(slot);
      },
    });
  }

  /** The outcome is unknown: the tags are held until the write can no longer be carried out. */
  async #outlast(context: RoutedContext, slot: number): Promise<void> {
    const write = this.#unheld(context);
    try {
      await this.#deps.journal.holdUnknown({ ...write, slot });
    } catch {
      // The coordinator counts or logs the failure. Without a hold, at least what was stored before is invalidated.
      await this.#invalidate(write.tags);
    }
  }

  #unheld(context: RoutedContext): UnheldWrite {
    const { maxProcessingMs } = context.route.originConfig;
    const tags = this.#tagsOf(context, 200, []);
    return { client: holdClient(context), queue: orderQueueOf(context), tags, maxProcessingMs };
  }

  /** Null: the state can't be written. The origin has carried the write out, so the client gets its success. */
  async #invalidate(tags: readonly string[], entry?: AskedEntry): Promise<Invalidated | null> {
    try {
      return await this.#deps.invalidator.invalidate(tags, entry);
    } catch (error) {
      this.#deps.onNotDurable(error);
      return null;
    }
  }

  /** By the configuration at the request's arrival and by the one in force. */
  #tagsOf(context: RoutedContext, status: number, fields: Fields): string[] {
    const { originConfig } = context.route;
    const write = sentWrite(context);
    const response = { status, fields };
    const tags = writtenTags(context.configuration.config, originConfig, write, response);
    if (status < 200 || status >= 400) return tags;
    const inForce = this.#deps.configuration();
    const later = inForce === context.configuration ? [] : laterTags(inForce, originConfig, write, response);
    return [...new Set([...tags, ...routeTags(context), ...later])];
  }
}
