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

/** How a passed request differs from the client's own. */
export interface PassOptions {
  readonly outcome: Outcome;
  readonly forward: ForwardReason;
  /** Path and query, if not the client's own. */
  readonly path?: string;
  /** If not the client's own. */
  readonly fields?: Fields;
  readonly body?: Readable | null;
  readonly outlivesClient?: boolean;
  /** `body` has been received whole. */
  readonly isWhole?: boolean;
  /** The returned fields are added to the response, and awaited before its head is sent. */
  readonly onHead?: (status: number, fields: Fields) => Promise<Fields> | Fields;
  /** The response's fields as the client is sent them; absent: as those of a response that is not stored. */
  readonly told?: (status: number, fields: Fields) => Fields;
  readonly onContent?: (chunk: Uint8Array) => void;
  /** May respond in place of the origin; false: it does not. */
  readonly onStatus?: (status: number) => boolean;
  /** May respond when the origin has failed; false: it does not. */
  readonly onFailure?: (failure: OriginFailure) => boolean;
  /** Awaited before the client gets the error response. Never rejects. */
  readonly beforeRefusal?: (failure: OriginFailure) => Promise<void>;
  /** `unsent`: the client left before anything of the request was sent to the origin. */
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

/** The end-to-end fields that the origin is sent for one client alone. */
export function passFields(context: RoutedContext): string[] {
  const { exchange } = context;
  const fields = sentFields(context);
  const forwards = decideMaxForwards(exchange.method, exchange.fields);
  if (forwards.kind !== 'forward') return fields;
  return [...withoutFields(fields, MAX_FORWARDS), 'Max-Forwards', forwards.value];
}

const MAX_FORWARDS: ReadonlySet<string> = new Set(['max-forwards']);
