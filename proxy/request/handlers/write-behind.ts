import { originForm } from '../../../policies/key.ts';
import { cacheStatus } from '../../../policies/http/cache-status.ts';
import { fieldValue } from '../../../policies/http/fields.ts';
import { VIA } from '../../../policies/http/forwarding.ts';
import {
  isMergeable,
  preferredWaitMs,
  requestDigest,
  scopedIdempotencyKey,
} from '../../../policies/writes.ts';
import type { AccessRecords } from '../access-records.ts';
import { passFields } from './pass.ts';
import { refuse } from '../error-responses.ts';
import type { RoutedContext } from '../context.ts';
import type { WriteProgress } from '../../writes/journal/journal.ts';
import type { OriginResponse } from '../../writes/journal/record.ts';
import { BodyBudget, type BudgetedBody } from '../body-budget.ts';
import { routeTags, orderQueueOf, type SentInstead } from './write-through.ts';
import type { AcceptedWrite, JournalClient } from '../../writes/calls.ts';
import { asStream, readBody } from '../read-body.ts';
import { targetTags } from '../../../policies/written-tags.ts';

export interface WriteBehindDependencies {
  readonly journal: JournalClient;
  readonly accessRecords: AccessRecords;
}

/** Sends the write through, for this reason, where the journal does not take it. */
type SendThrough = (reason: string, sent: SentInstead) => void;

/** The policy `behind`: writes are acknowledged once they are durable in the journal, and delivered later. */
export class WriteBehindHandler {
  readonly #deps: WriteBehindDependencies;
  readonly #receiving = new BodyBudget();

  constructor(deps: WriteBehindDependencies) {
    this.#deps = deps;
  }

  enter(context: RoutedContext, sendThrough: SendThrough): void {
    void this.#enter(context, sendThrough);
  }

  async #enter(context: RoutedContext, sendThrough: SendThrough): Promise<void> {
    const { exchange, route } = context;
    const { maxBodyBytes, oversize } = route.config.write;
    const declared = Number(fieldValue(exchange.fields, 'content-length') ?? 0);
    if (declared > maxBodyBytes && oversize === 'reject') {
      this.#refuseTooLarge(context);
      return;
    }
    if (declared > maxBodyBytes) {
      sendThrough('oversize', {});
      return;
    }
    const received = this.#receiving.begin();
    exchange.onEnd(() => received.end());
    const { receivingBytes } = context.configuration.config.journal;
    const read = await readBody(exchange.body, maxBodyBytes, (bytes) => received.take(bytes, receivingBytes));
    switch (read.kind) {
      case 'whole':
        await this.#offer(context, read.body, received, sendThrough);
        return;
      case 'too-large':
        if (oversize === 'through') sendThrough('oversize', { body: read.whole });
        else {
          read.whole.destroy();
          this.#refuseTooLarge(context);
        }
        return;
      case 'no-room':
        if (route.config.write.onFull === 'through') {
          sendThrough('receiving', { body: read.whole });
        } else {
          read.whole.destroy();
          refuse(context, this.#deps.accessRecords, 'receiving');
        }
        return;
      case 'cut':
        this.#deps.accessRecords.whenEnded(context, 'write', 'behind', 0);
        return;
      default:
        read satisfies never;
    }
  }

  async #offer(
    context: RoutedContext,
    body: Uint8Array<ArrayBuffer> | null,
    received: BudgetedBody,
    sendThrough: SendThrough,
  ): Promise<void> {
    const { exchange, route, configuration, authority, scheme } = context;
    const { method } = exchange;
    const { write, name } = route.config;
    const orderQueue = orderQueueOf(context);
    const scoped = scopedIdempotencyKey(orderQueue, exchange.fields);
    const target = originForm(context.path, context.query);
    const waitMs = preferredWaitMs(exchange.fields);
    // The call transfers the content to the coordinator, and a write that is not accepted may be sent through.
    const copy = write.onFull === 'through' ? (body?.slice() ?? null) : null;
    const accepted = await this.#deps.journal
      .acceptWrite({
        queue: orderQueue,
        route: name,
        method,
        authority,
        scheme,
        fields: passFields(context),
        body,
        idempotencyKey: scoped === null ? null : fieldValue(exchange.fields, 'idempotency-key')!,
        clientKey:
          scoped === null
            ? null
            : { scoped, digest: requestDigest({ method, target, fields: exchange.fields, body }) },
        merges: write.coalesce && scoped === null && isMergeable(method, exchange.fields),
        tags: [
          ...new Set([...targetTags(configuration.config, { authority, target }), ...routeTags(context)]),
        ],
        waitMs,
      })
      // The coordinator logs a call that fails.
      .catch(() => ({ kind: 'not-durable' }) as const);
    if (accepted.kind === 'accepted') {
      // The journal holds the content now: a client that waits for a response takes no room.
      received.end();
      await this.#accepted(context, accepted);
    } else if (exchange.closed) this.#deps.accessRecords.whenEnded(context, 'write', 'behind', 0);
    else this.#notAccepted(context, accepted, copy, sendThrough);
  }

  async #accepted(
    context: RoutedContext,
    { id, progress, ticket }: AcceptedWrite & { readonly kind: 'accepted' },
  ): Promise<void> {
    const { journal, accessRecords } = this.#deps;
    // The coordinator logs a call that fails. The write is durable, so the client gets its acknowledgement.
    const waited = ticket === null ? null : await journal.originResponse(ticket).catch(() => null);
    if (context.exchange.closed) accessRecords.whenEnded(context, 'write', 'behind', 0);
    else if (waited?.kind === 'response') this.#respond(context, id, waited.response);
    else this.#acknowledge(context, id, waited?.progress ?? progress);
  }

  #notAccepted(
    context: RoutedContext,
    accepted: Exclude<AcceptedWrite, { readonly kind: 'accepted' }>,
    copy: Uint8Array | null,
    sendThrough: SendThrough,
  ): void {
    const isThrough = context.route.config.write.onFull === 'through';
    switch (accepted.kind) {
      case 'mismatch':
        refuse(context, this.#deps.accessRecords, 'key-reused');
        return;
      case 'full':
      case 'not-durable':
        if (isThrough) sendThrough(accepted.kind, { body: asStream(copy) });
        else refuse(context, this.#deps.accessRecords, accepted.kind);
        return;
      default:
        accepted satisfies never;
    }
  }

  #acknowledge(
    context: RoutedContext,
    id: string,
    { state, status: answered, mergedInto }: WriteProgress,
  ): void {
    const known = {
      ...(answered === null ? {} : { status: answered }),
      ...(mergedInto === null ? {} : { mergedInto }),
    };
    const content = Buffer.from(`${JSON.stringify({ id, state, ...known })}\n`);
    const status = cacheStatus({ fwd: 'method', detail: 'behind' });
    context.exchange.respond(
      202,
      [
        'Content-Type',
        'application/json',
        'Weir-Write',
        id,
        'Cache-Control',
        'no-store',
        'Cache-Status',
        status,
        'Via',
        VIA,
      ],
      content,
    );
    this.#deps.accessRecords.whenEnded(context, 'write', 'behind', 202);
  }

  /** With the origin's response. */
  #respond(context: RoutedContext, id: string, response: OriginResponse): void {
    const status = cacheStatus({ fwd: 'method', fwdStatus: response.status, detail: 'behind' });
    context.exchange.respond(
      response.status,
      [
        ...response.fields,
        'Weir-Write',
        id,
        'Preference-Applied',
        'wait',
        'Cache-Status',
        status,
        'Via',
        VIA,
      ],
      response.content,
    );
    this.#deps.accessRecords.whenEnded(context, 'write', 'behind', response.status);
  }

  #refuseTooLarge(context: RoutedContext): void {
    const values = { limit: context.route.config.write.maxBodyBytes };
    refuse(context, this.#deps.accessRecords, 'too-large', { values });
  }
}
