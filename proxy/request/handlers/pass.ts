import type { Readable } from 'node:stream';
import { originForm } from '../../../policies/key.ts';
import type { CacheStatus, ForwardReason } from '../../../policies/http/cache-status.ts';
import { passedFields } from '../../../policies/http/downstream.ts';
import { acceptsEventStream } from '../../../policies/http/event-stream.ts';
import { withoutFields, type Fields } from '../../../policies/http/fields.ts';
import { decideMaxForwards } from '../../../policies/http/forwarding.ts';
import type { OriginFailure } from '../../../origin-adapters/origin.ts';
import type { Clock } from '../../threads/clock.ts';
import type { AccessRecords } from '../access-records.ts';
import type { Outcome } from '../../observability/outcome.ts';
import { passToOrigin } from '../pass-exchange.ts';
import { refuseFailed } from '../error-responses.ts';
import { sentFields, type RoutedContext } from '../context.ts';

/** What may be done otherwise with a request that is passed on. */
export interface PassOptions {
  readonly outcome: Outcome;
  readonly forward: ForwardReason;
  /** Path and query, where not the client's own. */
  readonly path?: string;
  /** Where not the client's own. */
  readonly fields?: Fields;
  readonly body?: Readable | null;
  readonly outlivesClient?: boolean;
  /** All of `body` is at hand. */
  readonly isWhole?: boolean;
  /** Awaited before the head goes out; fields to add to the answer. */
  readonly onHead?: (status: number, fields: Fields) => Promise<Fields> | Fields;
  /** The answer's fields as the client is told them; absent: as those of what is not stored. */
  readonly told?: (status: number, fields: Fields) => Fields;
  readonly onContent?: (chunk: Uint8Array) => void;
  /** Answers in another way than the origin did; false: it does not. */
  readonly onStatus?: (status: number) => boolean;
  /** Answers in another way when the origin has failed; false: it can't. */
  readonly onFailure?: (failure: OriginFailure) => boolean;
  /** Awaited before the client hears that the origin has failed. Never rejects. */
  readonly beforeRefusal?: (failure: OriginFailure) => Promise<void>;
  /** `unsent`: the client left before the origin can have had anything of the request. */
  readonly onSettled?: (settled: 'whole' | 'cut' | 'unsent' | OriginFailure) => void;
}

/** Requests that go to the origin for one client alone. */
export class PassHandler {
  readonly #clock: Clock;
  readonly #accessRecords: AccessRecords;

  constructor(clock: Clock, accessRecords: AccessRecords) {
    this.#clock = clock;
    this.#accessRecords = accessRecords;
  }

  enter(
    context: RoutedContext,
    reason: string,
    options: PassOptions = { outcome: 'pass', forward: 'bypass' },
  ): void {
    const { exchange, route } = context;
    const name = route.config.name;
    const forward: ForwardReason = reason === 'method' ? 'method' : options.forward;
    const status: CacheStatus = { fwd: forward, detail: reason };
    const startedAt = this.#clock.monotonicMs();
    let answered = 0;
    passToOrigin(
      exchange,
      route.origin,
      {
        method: exchange.method,
        path: options.path ?? originForm(context.path, context.query),
        fields: options.fields ?? passFields(context),
        body: options.body === undefined ? exchange.body : options.body,
        ...(options.outlivesClient === true ? { outlivesClientMs: route.originConfig.abandonedMs } : {}),
        isWhole: options.isWhole ?? false,
        unboundedBody: acceptsEventStream(exchange.fields),
      },
      status,
      {
        onStatus: (originStatus) => {
          if (options.onStatus?.(originStatus) !== true) return false;
          this.#accessRecords.originHead(name, this.#clock.monotonicMs() - startedAt);
          options.onSettled?.('cut');
          return true;
        },
        onHead: (originStatus, fields) => {
          answered = originStatus;
          this.#accessRecords.originHead(name, this.#clock.monotonicMs() - startedAt);
          return options.onHead?.(originStatus, fields) ?? [];
        },
        told: options.told ?? ((_status, fields) => passedFields(fields, route.config.cache)),
        onContent: (chunk) => options.onContent?.(chunk),
        onEnd: () => {
          options.onSettled?.('whole');
          this.#accessRecords.whenEnded(context, options.outcome, reason, answered);
        },
        onCut: (hasSent) => {
          options.onSettled?.(hasSent ? 'cut' : 'unsent');
          this.#accessRecords.whenEnded(context, options.outcome, reason, answered);
        },
        onFailure: (failure) => {
          options.onSettled?.(failure);
          if (options.onFailure?.(failure) === true) return;
          const refuse = (): void => {
            refuseFailed(context, this.#accessRecords, failure, status);
          };
          if (options.beforeRefusal === undefined) refuse();
          else void options.beforeRefusal(failure).then(refuse);
        },
      },
    );
  }
}

/** What the origin is sent of a request for one client alone: all of its end-to-end fields. */
export function passFields(context: RoutedContext): string[] {
  const { exchange } = context;
  const fields = sentFields(context);
  const forwards = decideMaxForwards(exchange.method, exchange.fields);
  if (forwards.kind !== 'forward') return fields;
  return [...withoutFields(fields, MAX_FORWARDS), 'Max-Forwards', forwards.value];
}

const MAX_FORWARDS: ReadonlySet<string> = new Set(['max-forwards']);
