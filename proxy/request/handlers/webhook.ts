import type { Readable } from 'node:stream';
import { VIA } from '../../../policies/http/forwarding.ts';
import type { FeedDelivery, DeliveryAnswer } from '../../../origin-adapters/feeds/feed.ts';
import type { AccessRecords } from '../access-records.ts';
import { refuse } from '../error-responses.ts';
import type { RequestContext } from '../context.ts';

/**
 * Bytes of deliveries that a worker holds while it reads them. Deliveries are not authenticated until they are whole: beyond
 * this bound, those that are larger than nearly all deliveries are refused.
 */
const MAX_READING_BYTES = 64 * 2 ** 20;
const MOST_BYTES = 16 * 2 ** 10;

/** Deliveries to feeds that receive on the main port. Each is read whole, within its bound, and answered by the feed. */
export class WebhookHandler {
  readonly #accessRecords: AccessRecords;
  readonly #deliver: (delivery: FeedDelivery & { readonly path: string }) => Promise<DeliveryAnswer>;
  #readingBytes = 0;

  constructor(
    accessRecords: AccessRecords,
    deliver: (delivery: FeedDelivery & { readonly path: string }) => Promise<DeliveryAnswer>,
  ) {
    this.#accessRecords = accessRecords;
    this.#deliver = deliver;
  }

  enter(context: RequestContext, path: string, maxBytes: number): void {
    const { exchange } = context;
    const { method, fields } = exchange;
    this.#contentOf(exchange.body, maxBytes)
      .then((body) => {
        if (body === 'cut') return null;
        if (body === 'too-large') return tooLarge(maxBytes);
        if (body === 'too-many') return TOO_MANY;
        return this.#deliver({ path, method, fields, body });
      })
      // The coordinator is stopping, or has logged why the call failed; the sender will retry.
      .catch((): DeliveryAnswer => ({ status: 503, detail: 'Weir is stopping.' }))
      .then((answer) => {
        if (answer === null) this.#accessRecords.abandoned(context, 'delivery');
        else this.#answer(context, answer);
      });
  }

  #answer(context: RequestContext, { status, detail }: DeliveryAnswer): void {
    const { exchange } = context;
    if (status !== 204) {
      refuse(context, this.#accessRecords, 'delivery', { status, values: { detail }, fields: MORE[status] });
      return;
    }
    exchange.respond(204, ['Via', VIA], null);
    this.#accessRecords.whenEnded(context, 'answered', 'delivery', 204);
  }

  #contentOf(body: Readable | null, maxBytes: number): Promise<Content> {
    if (body === null) return Promise.resolve(new Uint8Array());
    const { promise, resolve } = Promise.withResolvers<Content>();
    let chunks: Uint8Array[] = [];
    let bytes = 0;
    const end = (content: Content): void => {
      this.#readingBytes -= bytes;
      bytes = 0;
      chunks = [];
      resolve(content);
    };
    const refuseRest = (why: 'too-large' | 'too-many'): void => {
      body.off('data', onData).pause();
      end(why);
    };
    const onData = (chunk: Uint8Array): void => {
      bytes += chunk.byteLength;
      this.#readingBytes += chunk.byteLength;
      chunks.push(chunk);
      if (bytes > maxBytes) refuseRest('too-large');
      else if (bytes > MOST_BYTES && this.#readingBytes > MAX_READING_BYTES) refuseRest('too-many');
    };
    body.on('data', onData);
    body.on('end', () => end(Buffer.concat(chunks)));
    body.on('close', () => end('cut'));
    return promise;
  }
}

/** `cut`: the client left before it had sent everything. */
type Content = Uint8Array | 'too-large' | 'too-many' | 'cut';

const MORE: Readonly<Partial<Record<DeliveryAnswer['status'], readonly string[]>>> = {
  401: ['WWW-Authenticate', 'Signature realm="weir"'],
  405: ['Allow', 'POST'],
  503: ['Retry-After', '1'],
};

function tooLarge(maxBytes: number): DeliveryAnswer {
  return { status: 413, detail: `more than ${maxBytes} bytes` };
}

const TOO_MANY: DeliveryAnswer = { status: 503, detail: 'too many deliveries are being read: try again' };
