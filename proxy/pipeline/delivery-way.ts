import type { Readable } from 'node:stream';
import { VIA } from '../../policies/http/forwarding.ts';
import type { Delivery, DeliveryAnswer } from '../../origin-adapters/feeds/feed.ts';
import type { Conclusions } from './conclusion.ts';
import { refuse } from './refusals.ts';
import type { Visit } from './visit.ts';

/** Deliveries to feeds that receive on the main port: read whole, within their bound, and answered by the feed. */
export class DeliveryWay {
  readonly #conclusions: Conclusions;
  readonly #deliver: (delivery: Delivery & { readonly path: string }) => Promise<DeliveryAnswer>;

  constructor(
    conclusions: Conclusions,
    deliver: (delivery: Delivery & { readonly path: string }) => Promise<DeliveryAnswer>,
  ) {
    this.#conclusions = conclusions;
    this.#deliver = deliver;
  }

  enter(visit: Visit, path: string, maxBytes: number): void {
    const { exchange } = visit;
    const { method, fields } = exchange;
    contentOf(exchange.body, maxBytes)
      .then((body) => {
        if (body === 'cut') return null;
        if (body === 'too-large') return tooLarge(maxBytes);
        return this.#deliver({ path, method, fields, body });
      })
      // The coordinator is stopping: the sender tries again.
      .catch((): DeliveryAnswer => ({ status: 503, detail: 'Weir is stopping.' }))
      .then((answer) => {
        if (answer === null) this.#conclusions.abandoned(visit, 'delivery');
        else this.#answer(visit, answer);
      });
  }

  #answer(visit: Visit, { status, detail }: DeliveryAnswer): void {
    const { exchange } = visit;
    if (status === 204) exchange.respond(204, ['Via', VIA], null);
    else refuse(exchange, status, TITLES[status], detail, ['Via', VIA, ...(MORE[status] ?? [])]);
    this.#conclusions.whenEnded(visit, status === 204 ? 'answered' : 'refused', 'delivery', status);
  }
}

const TITLES: Readonly<Record<Exclude<DeliveryAnswer['status'], 204>, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  405: 'Method Not Allowed',
  413: 'Content Too Large',
  503: 'Service Unavailable',
};

const MORE: Readonly<Partial<Record<DeliveryAnswer['status'], readonly string[]>>> = {
  401: ['WWW-Authenticate', 'Signature realm="weir"'],
  405: ['Allow', 'POST'],
  503: ['Retry-After', '1'],
};

function tooLarge(maxBytes: number): DeliveryAnswer {
  return { status: 413, detail: `more than ${maxBytes} bytes` };
}

/** `cut`: the client has gone before it had sent all. */
function contentOf(body: Readable | null, maxBytes: number): Promise<Uint8Array | 'too-large' | 'cut'> {
  if (body === null) return Promise.resolve(new Uint8Array());
  return new Promise((resolve) => {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    body.on('data', (chunk: Uint8Array) => {
      bytes += chunk.byteLength;
      if (bytes <= maxBytes) chunks.push(chunk);
      else {
        chunks.length = 0;
        body.pause();
        resolve('too-large');
      }
    });
    body.on('end', () => resolve(Buffer.concat(chunks)));
    body.on('close', () => resolve('cut'));
  });
}
