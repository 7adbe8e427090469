import { Transform, type Readable } from 'node:stream';
import { fieldValue, withoutFields, type Fields } from '../../policies/http/fields.ts';
import { namesOthers } from '../../policies/http/hop-by-hop.ts';
import { isSteered, keyOf } from '../../policies/key.ts';
import { decideStoring } from '../../policies/rfc9111/storing.ts';
import { entryTags, groupSite } from '../../policies/tags.ts';
import { representationOfPut } from '../../policies/writes.ts';
import type { StoredMeta } from '../../policies/model.ts';
import type { EntryHead } from '../cache/entry.ts';
import type { Levels } from '../cache/levels.ts';
import type { Clock } from '../clock.ts';
import { hashTags } from '../fence/tag-hash.ts';
import { FlightBody } from '../flights/body.ts';
import { Storing } from '../flights/storing.ts';
import { originForm } from '../pipeline/pass-way.ts';
import type { RoutedVisit } from '../pipeline/visit.ts';

export interface EntryKeeper {
  readonly levels: Levels;
  readonly clock: Clock;
  newEntryId(): string;
}

/** The content of a larger PUT is not kept while it is sent. */
const MAX_BYTES = 2 ** 20;

/** What a PUT sent, on its way to become the entry that a GET is answered with. */
export class WrittenEntry {
  readonly body: Readable;
  readonly #visit: RoutedVisit;
  readonly #keeper: EntryKeeper;
  readonly #requestTimeMs: number;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #isTooLarge = false;
  #meta: StoredMeta | null = null;
  #tags: readonly string[] = [];

  private constructor(visit: RoutedVisit, keeper: EntryKeeper, source: Readable) {
    this.#visit = visit;
    this.#keeper = keeper;
    this.#requestTimeMs = keeper.clock.nowMs();
    const keep = (chunk: Buffer): void => this.#keep(chunk);
    const body = new Transform({
      transform(chunk: Buffer, _encoding, callback) {
        keep(chunk);
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
   * Null where the request can't become the entry: it is no PUT, its key is not that of every GET, or the origin may have
   * understood another than Weir has.
   */
  static capture(visit: RoutedVisit, keeper: EntryKeeper, instead?: Readable | null): WrittenEntry | null {
    const { exchange, route } = visit;
    const { key } = route.config.cache;
    const source = instead ?? exchange.body;
    const isPlain = key.headers.length === 0 && key.cookies.length === 0;
    const declared = Number(fieldValue(exchange.fields, 'content-length') ?? 0);
    if (isSteered(exchange.fields) || namesOthers(exchange.fields)) return null;
    if (exchange.method !== 'PUT' || !isPlain || source === null || declared > MAX_BYTES) return null;
    return new WrittenEntry(visit, keeper, source);
  }

  /** The tags of the entry by this answer; null: it does not become one. */
  tagsFor(status: number, answer: Fields): readonly string[] | null {
    const { exchange, route, authority, path, query, params } = this.#visit;
    const fields = representationOfPut(exchange.fields, status, answer);
    if (fields === null || this.#isTooLarge || !this.body.readableEnded) return null;
    const decision = decideStoring({
      request: { method: 'GET', fields: withoutFields(exchange.fields, OF_THE_PUT) },
      status: 200,
      fields: [...fields, 'Content-Length', String(this.#bytes)],
      requestTimeMs: this.#requestTimeMs,
      responseTimeMs: this.#keeper.clock.nowMs(),
      policy: route.config.cache,
      authority: groupSite(route.originConfig, authority),
    });
    if (decision.kind === 'not') return null;
    this.#meta = decision.meta;
    const known = entryTags({
      authority,
      path,
      query,
      route: route.config.name,
      origin: route.config.origin,
      feed: route.feed?.name ?? null,
      extra: route.tagsFor(params),
    });
    this.#tags = [...new Set([...known, ...decision.meta.responseTags])];
    return this.#tags;
  }

  /** Stores it. `floor` is the sequence with which the write itself invalidated what was there. */
  store(floor: number): void {
    if (this.#meta === null) return;
    const { levels, newEntryId } = this.#keeper;
    const { exchange, route, authority, scheme, path, query } = this.#visit;
    const seesHost = route.originConfig.hostHeader === 'client';
    const { key, query: keyedQuery } = keyOf({
      origin: route.originKey,
      scheme: seesHost ? scheme : null,
      authority: seesHost ? authority : null,
      path,
      query,
      policy: route.config.cache,
      fields: exchange.fields,
    });
    const content = Buffer.concat(this.#chunks);
    const head: EntryHead = {
      id: newEntryId(),
      key,
      route: route.config.name,
      origin: route.config.origin,
      url: `${seesHost ? `${scheme}://${authority}` : ''}${originForm(path, keyedQuery)}`,
      meta: this.#meta,
      tags: this.#tags,
      tagHashes: hashTags(this.#tags),
      floor,
      unproven: false,
      sizeBytes: content.length,
      evictLast: route.config.cache.evict === 'last',
    };
    const { maxVariants } = route.config.cache;
    const storing = Storing.begin(head, {
      levels,
      maxObjectBytes: MAX_BYTES,
      maxVariants,
      toDisk: true,
      newEntryId: null,
      over: () => {},
    });
    if (storing === null) return;
    const body = new FlightBody({
      windowBytes: MAX_BYTES,
      keepsAll: storing.inMemory,
      isStored: storing.onDisk,
      pause: () => {},
      resume: () => {},
      onDeserted: () => {},
    });
    storing.attach(body);
    if (content.length > 0) {
      body.append(content);
      storing.append(content);
    }
    storing.finish([]);
  }

  #keep(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes > MAX_BYTES) {
      this.#isTooLarge = true;
      this.#chunks.length = 0;
    } else if (!this.#isTooLarge) this.#chunks.push(chunk);
  }
}

/** What the PUT says of its own content and conditions is nothing that a GET would say. */
const OF_THE_PUT: ReadonlySet<string> = new Set([
  'cache-control',
  'pragma',
  'content-type',
  'content-length',
  'range',
]);
