import { outcomeOfStatus, outcomeOfFailure } from '../../../policies/writes.ts';
import type { JournalClient } from '../../writes/calls.ts';
import {
  WriteThroughHandler,
  type WriteThroughDependencies,
  type SentInstead,
  routeTags,
  sentWrite,
  orderQueueOf,
} from './write-through.ts';
import { fieldValue, type Fields } from '../../../policies/http/fields.ts';
import { WriteBehindHandler } from './write-behind.ts';
import { mayHaveWrites } from './pending-read.ts';
import { asStream, readBody } from '../read-body.ts';
import { PostResponseEntry } from '../written-entries/from-post.ts';
import { laterTags, writtenTags } from '../../../policies/written-tags.ts';
import type { AskedEntry, Invalidated } from '../../fence/fence.ts';
import type { FenceReader } from '../../fence/reader.ts';
import { refuse, refuseHeld } from '../error-responses.ts';
import { holdClient, type RoutedContext } from '../context.ts';
import type { UnheldWrite } from '../../writes/through/gate.ts';

/** A worker's way to invalidate. */
export interface Invalidator {
  /** Resolves when the tags are invalid for every worker, durably; rejects where the state can't be written. */
  invalidate(tags: readonly string[], entry?: AskedEntry): Promise<Invalidated>;
}

export interface WriteAroundDependencies extends WriteThroughDependencies {
  readonly journal: JournalClient;
  readonly fence: FenceReader;
  readonly invalidator: Invalidator;
  onNotDurable(error: unknown): void;
}

/** Unsafe requests, by the write policy of their route. */
export class WriteAroundHandler {
  readonly #deps: WriteAroundDependencies;
  readonly #through: WriteThroughHandler;
  readonly #behind: WriteBehindHandler;

  constructor(deps: WriteAroundDependencies) {
    this.#deps = deps;
    this.#through = new WriteThroughHandler(deps);
    this.#behind = new WriteBehindHandler({ ...deps, through: this.#through });
  }

  enter(context: RoutedContext): void {
    const { policy } = context.route.config.write;
    switch (policy) {
      case 'around':
        this.#readSmall(context, (sent) => {
          // The order of a URL holds across policies: its writes in the journal go first.
          if (mayHaveWrites(context, this.#deps.fence)) this.#through.enter(context, policy, sent);
          else void this.#around(context, sent);
        });
        return;
      case 'through':
        this.#readSmall(context, (sent) => this.#through.enter(context, policy, sent));
        return;
      case 'behind':
        this.#behind.enter(context);
        return;
      default:
        policy satisfies never;
    }
  }

  /**
   * Reads small content whole before anything is held or sent. A client that leaves while it sends has then caused nothing,
   * and one that leaves later does not make the outcome unknown.
   */
  #readSmall(context: RoutedContext, next: (sent: SentInstead) => void): void {
    const { exchange, route } = context;
    const { readWholeBytes } = route.config.write;
    const declared = Number(fieldValue(exchange.fields, 'content-length') ?? 0);
    if (exchange.body === null || readWholeBytes === 0 || declared > readWholeBytes) {
      next({});
      return;
    }
    void readBody(exchange.body, readWholeBytes, () => true).then((read) => {
      switch (read.kind) {
        case 'whole':
          next({ body: asStream(read.body), isWhole: true });
          return;
        case 'too-large':
        case 'no-room':
          next({ body: read.whole });
          return;
        case 'cut':
          this.#deps.accessRecords.whenEnded(context, 'write', context.route.config.write.policy, 0);
          return;
        default:
          read satisfies never;
      }
    });
  }

  /** Passes the request on. What RFC 9111 §4.4 and the route name is invalid before the client gets the response. */
  async #around(context: RoutedContext, sent: SentInstead): Promise<void> {
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
      beforeRefusal: async (failure) => {
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
