import type { Readable } from 'node:stream';
import { originForm } from '../../../policies/key.ts';
import { cacheStatus, type CacheStatus, type ForwardReason } from '../../../policies/http/cache-status.ts';
import { passedFields } from '../../../policies/http/downstream.ts';
import { acceptsEventStream } from '../../../policies/http/event-stream.ts';
import { withoutFields, type Fields } from '../../../policies/http/fields.ts';
import { decideMaxForwards, endToEnd, VIA } from '../../../policies/http/forwarding.ts';
import { interimFields } from '../../../policies/http/interim.ts';
import type { OriginCall, OriginFailure, OriginHandler } from '../../../origin-adapters/origin.ts';
import type { Exchange, ResponseSink } from '../../http/exchange.ts';
import type { Clock } from '../../threads/clock.ts';
import type { AccessRecords } from '../access-records.ts';
import type { Outcome } from '../../observability/outcome.ts';
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
  /**
   * Whether to wait for the response's head when the client has gone but the origin has the whole request, at most for
   * `abandonedMs` of the origin. Otherwise the request ends with its client.
   */
  readonly outlivesClient?: boolean;
  /** `body` has been received whole, whether or not the origin has read it. */
  readonly isWhole?: boolean;
  /** The returned fields are added to the response, and awaited before its head is sent. */
  readonly onHead?: (status: number, fields: Fields) => Promise<Fields> | Fields;
  /** The response's fields as the client is sent them; absent: as those of a response that is not stored. */
  readonly told?: (status: number, fields: Fields) => Fields;
  /** A chunk of content, as it is sent to the client. */
  readonly onContent?: (chunk: Uint8Array) => void;
  /** Called first. True: it has responded itself, and nothing else is called but `onSettled`. */
  readonly onStatus?: (status: number) => boolean;
  /** Nothing was sent yet. True: it has responded itself. */
  readonly onFailure?: (failure: OriginFailure) => boolean;
  /** Awaited before the client gets the error response. Never rejects. */
  readonly beforeErrorResponse?: (failure: OriginFailure) => Promise<void>;
  /** `unsent`: the client left before anything of the request was sent to the origin. */
  readonly onSettled?: (settled: 'whole' | 'cut' | 'unsent' | OriginFailure) => void;
}

/** Passes requests to the origin for one client alone, and streams the responses back with back pressure both ways. */
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
    new Pass(context, reason, options, this.#clock, this.#accessRecords).start();
  }
}

/** One passed request. */
class Pass implements OriginHandler {
  readonly #context: RoutedContext;
  readonly #exchange: Exchange;
  readonly #reason: string;
  readonly #options: PassOptions;
  readonly #clock: Clock;
  readonly #accessRecords: AccessRecords;
  readonly #status: CacheStatus;
  readonly #body: Readable | null;
  readonly #startedAtMs: number;
  #call: OriginCall | null = null;
  #sink: ResponseSink | null = null;
  /** Of the origin's response; 0: its head has not come. */
  #originStatus = 0;
  /** Content that arrived while the head was held back. */
  #early: Uint8Array[] = [];
  #earlyEnd: Fields | null = null;
  #isOver = false;
  #isClientGone = false;
  #abandonment: NodeJS.Timeout | null = null;

  constructor(
    context: RoutedContext,
    reason: string,
    options: PassOptions,
    clock: Clock,
    accessRecords: AccessRecords,
  ) {
    this.#context = context;
    this.#exchange = context.exchange;
    this.#reason = reason;
    this.#options = options;
    this.#clock = clock;
    this.#accessRecords = accessRecords;
    this.#status = { fwd: reason === 'method' ? 'method' : options.forward, detail: reason };
    this.#body = options.body === undefined ? context.exchange.body : options.body;
    this.#startedAtMs = clock.monotonicMs();
  }

  start(): void {
    const { exchange, route, path, query } = this.#context;
    const request = {
      method: exchange.method,
      path: this.#options.path ?? originForm(path, query),
      fields: this.#options.fields ?? passFields(this.#context),
      body: this.#body,
      priority: 'client' as const,
      unboundedBody: acceptsEventStream(exchange.fields),
    };
    this.#call = route.origin.send(request, this);
    exchange.onGone(() => this.#clientGone());
  }

  onInformational(status: number, fields: Fields): void {
    this.#exchange.inform(status, interimFields(fields));
  }

  onHead(status: number, fields: Fields): void {
    this.#originStatus = status;
    if (this.#abandonment !== null) clearTimeout(this.#abandonment);
    const isAnswered = this.#options.onStatus?.(status) === true;
    const name = this.#context.route.config.name;
    this.#accessRecords.originHead(name, this.#clock.monotonicMs() - this.#startedAtMs);
    if (isAnswered) {
      this.#options.onSettled?.('cut');
      this.#isOver = true;
      this.#call?.abort();
      return;
    }
    const more = this.#options.onHead?.(status, fields) ?? [];
    if (!(more instanceof Promise)) {
      this.#begin(status, fields, more);
      return;
    }
    this.#call?.pause();
    more.then(
      (added) => {
        this.#begin(status, fields, added);
        this.#call?.resume();
      },
      (error: unknown) => {
        this.#call?.abort();
        this.onFailure(internalFailure(error));
      },
    );
  }

  onData(chunk: Uint8Array): void {
    if (this.#isClientGone) return;
    if (this.#sink === null) {
      this.#early.push(chunk);
      return;
    }
    this.#options.onContent?.(chunk);
    if (!this.#sink.write(chunk)) this.#call?.pause();
  }

  onEnd(trailers: Fields): void {
    if (this.#isClientGone) this.#cut(true);
    else if (this.#sink === null) this.#earlyEnd = trailers;
    else this.#end(trailers);
  }

  onFailure(failure: OriginFailure): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#abandonment !== null) clearTimeout(this.#abandonment);
    if (this.#sink === null) {
      this.#fail(failure);
      return;
    }
    if (!this.#isClientGone) this.#exchange.abort();
    this.#cut(true);
  }

  #begin(status: number, fields: Fields, more: Fields): void {
    if (this.#isOver) return;
    if (this.#isClientGone) {
      this.#call?.abort('client-left');
      this.#cut(true);
      return;
    }
    const { told } = this.#options;
    const received = told?.(status, fields) ?? passedFields(fields, this.#context.route.config.cache);
    const cache = cacheStatus({ ...this.#status, fwdStatus: status });
    const sent = [...endToEnd(received), 'Via', VIA, 'Cache-Status', cache, ...more];
    this.#sink = this.#exchange.stream(status, sent);
    this.#sink.onDrain(() => this.#call?.resume());
    for (const chunk of this.#early.splice(0)) this.onData(chunk);
    if (this.#earlyEnd !== null) this.#end(this.#earlyEnd);
  }

  #end(trailers: Fields): void {
    if (this.#isOver) return;
    this.#isOver = true;
    // First what follows from the response: a client that has all of it may send its next request at once.
    this.#options.onSettled?.('whole');
    this.#record();
    this.#sink?.end(endToEnd(trailers));
  }

  #clientGone(): void {
    if (this.#isOver) return;
    const { outlivesClient, isWhole } = this.#options;
    const hasAll = isWhole === true || this.#body === null || this.#body.readableEnded;
    if (outlivesClient === true && this.#originStatus === 0 && hasAll) {
      this.#isClientGone = true;
      const { abandonedMs } = this.#context.route.originConfig;
      this.#abandonment = setTimeout(() => this.#abandon(), abandonedMs).unref();
      return;
    }
    this.#abandon();
  }

  /** Frees the connection to the origin. */
  #abandon(): void {
    if (this.#isOver) return;
    const hasSent = this.#originStatus !== 0 || (this.#call?.hasSent?.() ?? true);
    this.#call?.abort('client-left');
    this.#cut(hasSent);
  }

  /** The client has gone, or the response broke off; `hasSent`: the origin may have some of the request. */
  #cut(hasSent: boolean): void {
    this.#isOver = true;
    this.#options.onSettled?.(hasSent ? 'cut' : 'unsent');
    this.#record();
  }

  #fail(failure: OriginFailure): void {
    this.#options.onSettled?.(failure);
    if (this.#options.onFailure?.(failure) === true) return;
    const refuse = (): void => refuseFailed(this.#context, this.#accessRecords, failure, this.#status);
    const { beforeErrorResponse } = this.#options;
    if (beforeErrorResponse === undefined) refuse();
    else void beforeErrorResponse(failure).then(refuse);
  }

  #record(): void {
    this.#accessRecords.whenEnded(this.#context, this.#options.outcome, this.#reason, this.#originStatus);
  }
}

function internalFailure(cause: unknown): OriginFailure {
  const message = cause instanceof Error ? cause.message : String(cause);
  return { kind: 'proxy_internal_error', status: 502, message, maybeProcessed: true, cause };
}

/** The end-to-end fields that the origin is sent for one client alone. */
export function passFields(context: RoutedContext): readonly string[] {
  const { exchange } = context;
  const fields = sentFields(context);
  const forwards = decideMaxForwards(exchange.method, exchange.fields);
  if (forwards.kind !== 'forward') return fields;
  return [...withoutFields(fields, MAX_FORWARDS), 'Max-Forwards', forwards.value];
}

const MAX_FORWARDS: ReadonlySet<string> = new Set(['max-forwards']);
