import { endToEnd } from '../../../policies/http/forwarding.ts';
import type { Fields } from '../../../policies/http/fields.ts';
import type { Attempt } from '../../../policies/writes.ts';
import type { Origin, OriginFailure, OriginRequest } from '../../../origin-adapters/origin.ts';
import type { OriginResponse } from '../journal/record.ts';
import { BreakerOpen } from '../../../origin-adapters/http/breaker.ts';

/** One attempt, and the answer where it was whole and short enough to be kept. */
export type Sent =
  | { readonly kind: 'attempted'; readonly attempt: Attempt; readonly answer: OriginResponse | null }
  /** Nothing of it has left Weir: it was no attempt. */
  | { readonly kind: 'kept-back' };

const MAX_ANSWER_BYTES = 2 ** 20;

/** Sends one write of the journal and hears its answer out. Never rejects. */
export function sendOnce(origin: Origin, request: OriginRequest): Promise<Sent> {
  return new Promise((resolve) => {
    let status = 0;
    let fields: Fields = [];
    let bytes = 0;
    const chunks: Uint8Array[] = [];
    const answered = (answer: OriginResponse | null): void =>
      resolve({ kind: 'attempted', attempt: { kind: 'answered', status, fields }, answer });
    origin.send(request, {
      onInformational: () => {},
      onHead(answerStatus, answerFields) {
        status = answerStatus;
        fields = answerFields;
      },
      onData(chunk) {
        bytes += chunk.byteLength;
        if (bytes <= MAX_ANSWER_BYTES) chunks.push(chunk);
        else chunks.length = 0;
      },
      onEnd: () =>
        answered(
          bytes > MAX_ANSWER_BYTES
            ? null
            : { status, fields: endToEnd(fields), content: new Uint8Array(Buffer.concat(chunks)) },
        ),
      onFailure(failure) {
        // The head told the outcome; what broke off is only what the origin says of it.
        if (status !== 0) answered(null);
        else if (wasKeptBack(failure)) resolve({ kind: 'kept-back' });
        else resolve({ kind: 'attempted', attempt: failed(failure), answer: null });
      },
    });
  });
}

/** By the breaker, by our own limit on connections, or because we close. */
function wasKeptBack({ kind, maybeProcessed, cause }: OriginFailure): boolean {
  if (maybeProcessed) return false;
  return (
    cause instanceof BreakerOpen || kind === 'connection_limit_reached' || kind === 'connection_terminated'
  );
}

function failed({ maybeProcessed, message }: OriginFailure): Attempt {
  return { kind: 'failed', maybeProcessed, message };
}
