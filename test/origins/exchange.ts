/** One call to an origin, run to its end, with everything that its handler received. */
import type { OriginConfig } from '../../policies/config/config.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { createHttpOrigin } from '../../origin-adapters/http-origin.ts';
import type { Origin, OriginCall, OriginFailure, OriginRequest } from '../../origin-adapters/origin.ts';

/** Longer than the pauses of a busy machine. */
export const timeouts = { connectMs: 30_000, headersMs: 30_000, bodyMs: 30_000 };

export interface Heard {
  readonly informational: { readonly status: number; readonly fields: Fields }[];
  status: number | null;
  fields: Fields;
  body: string;
  bytes: number;
  trailers: Fields | null;
  failure: OriginFailure | null;
}

export interface Running {
  readonly call: OriginCall;
  readonly heard: Heard;
  /** Resolves with `heard` at onEnd or onFailure. */
  readonly over: Promise<Heard>;
  /** Resolves at the response head, or when the call is over. */
  readonly head: Promise<Heard>;
}

export interface RunOptions extends Partial<OriginRequest> {
  readonly onData?: (call: OriginCall) => void;
}

export function originOf(urls: readonly string[], changes: Partial<OriginConfig> = {}): Origin {
  return createHttpOrigin(
    {
      name: 'test',
      urls,
      hostHeader: 'origin',
      connections: 4,
      queue: { size: 16, timeoutMs: 30_000 },
      timeouts,
      abandonedMs: 5_000,
      retry: 1,
      maxProcessingMs: 60_000,
      breaker: null,
      health: null,
      tls: null,
      demo: { delayMs: 0 },
      ...changes,
    },
    { clock: { monotonicMs: () => performance.now() } },
  );
}

export function run(origin: Origin, path: string, options: RunOptions = {}): Running {
  const { onData, ...request } = options;
  const heard: Heard = {
    informational: [],
    status: null,
    fields: [],
    body: '',
    bytes: 0,
    trailers: null,
    failure: null,
  };
  const over = Promise.withResolvers<Heard>();
  const head = Promise.withResolvers<Heard>();
  const end = (): void => {
    head.resolve(heard);
    over.resolve(heard);
  };
  const call = origin.send(
    { method: 'GET', path, fields: [], body: null, priority: 'client', unboundedBody: false, ...request },
    {
      onInformational: (status, fields) => void heard.informational.push({ status, fields }),
      onHead(status, fields) {
        heard.status = status;
        heard.fields = fields;
        head.resolve(heard);
      },
      onData(chunk) {
        heard.bytes += chunk.byteLength;
        if (heard.bytes < 100_000) heard.body += Buffer.from(chunk).toString('latin1');
        onData?.(call);
      },
      onEnd(trailers) {
        heard.trailers = trailers;
        end();
      },
      onFailure(failure) {
        heard.failure = failure;
        end();
      },
    },
  );
  return { call, heard, over: over.promise, head: head.promise };
}
