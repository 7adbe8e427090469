import { Transform, type Readable } from 'node:stream';
import { decideBypass } from '../../../policies/bypass.ts';
import { fieldValue, withoutFields, type Fields } from '../../../policies/http/fields.ts';
import { isSteered } from '../../../policies/key.ts';
import { decideStoring } from '../../../policies/rfc9111/storing.ts';
import { representationOfPut } from '../../../policies/writes.ts';
import type { StoredMeta } from '../../../policies/model.ts';
import { receivedResponse } from '../../store/received.ts';
import { keyOfContext, type RoutedContext } from '../context.ts';
import { storeEntry, MAX_ENTRY_BYTES, tagsOfTarget, type EntryStore } from './store-entry.ts';

/** The content of a PUT that becomes the entry for a GET of its target. */
export class PutEntry {
  readonly body: Readable;
  readonly #context: RoutedContext;
  readonly #entryStore: EntryStore;
  readonly #requestTimeMs: number;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #isTooLarge = false;
  #meta: StoredMeta | null = null;
  #tags: readonly string[] = [];

  private constructor(context: RoutedContext, entryStore: EntryStore, source: Readable) {
    this.#context = context;
    this.#entryStore = entryStore;
    this.#requestTimeMs = entryStore.clock.nowMs();
    const append = (chunk: Buffer): void => this.#append(chunk);
    const body = new Transform({
      transform(chunk: Buffer, _encoding, callback) {
        append(chunk);
        callback(null, chunk);
      },
    });
    source.once('error', (error) => body.destroy(error));
    source.once('close', () => {
      if (!source.readableEnded) body.destroy(new Error('the client left before it had sent its content'));
    });
    body.on('error', () => source.destroy());
    this.body = source.pipe(body);
  }

  /**
   * Null where the request can't become the entry: it is no PUT, the route's key has more than the URL, or the origin may
   * understand another request than Weir does.
   */
  static capture(context: RoutedContext, entryStore: EntryStore, instead?: Readable | null): PutEntry | null {
    const { exchange, route, query } = context;
    const { key } = route.config.cache;
    const source = instead ?? exchange.body;
    const isPlain = key.headers.length === 0 && key.cookies.length === 0;
    const declared = Number(fieldValue(exchange.fields, 'content-length') ?? 0);
    if (isSteered(exchange.fields) || decideBypass(exchange.fields, route.config.cache) !== null) return null;
    // The key leaves out part of the query: a GET would ask the origin for another target than this PUT's.
    if (keyOfContext(context).query !== query) return null;
    if (exchange.method !== 'PUT' || !isPlain || source === null || declared > MAX_ENTRY_BYTES) return null;
    return new PutEntry(context, entryStore, source);
  }

  /** The tags of the entry, given the response to the PUT; null: it does not become the entry. */
  tagsFor(status: number, response: Fields): readonly string[] | null {
    const { exchange, route, authority } = this.#context;
    const fields = representationOfPut(exchange.fields, status, response);
    if (fields === null || this.#isTooLarge || !this.body.readableEnded) return null;
    const request = { method: 'GET', fields: withoutFields(exchange.fields, OF_THE_PUT) };
    const answered = { request, requestTimeMs: this.#requestTimeMs, authority, route };
    const sized = [...fields, 'Content-Length', String(this.#bytes)];
    const decision = decideStoring(receivedResponse(this.#entryStore.clock, answered, 200, sized));
    if (decision.kind === 'not') return null;
    this.#meta = decision.meta;
    this.#tags = tagsOfTarget(this.#context, decision.meta);
    return this.#tags;
  }

  /** Stores the entry. `floor` is the sequence of the write's own invalidation. */
  store(floor: number): void {
    if (this.#meta === null) return;
    const content = Buffer.concat(this.#chunks);
    storeEntry(this.#context, this.#entryStore, { meta: this.#meta, tags: this.#tags, floor, content });
  }

  #append(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes > MAX_ENTRY_BYTES) {
      this.#isTooLarge = true;
      this.#chunks.length = 0;
    } else if (!this.#isTooLarge) this.#chunks.push(chunk);
  }
}

/** Fields of the PUT that speak of its own content, and that no GET would send. */
const OF_THE_PUT: ReadonlySet<string> = new Set([
  'cache-control',
  'pragma',
  'content-type',
  'content-length',
  'range',
]);
