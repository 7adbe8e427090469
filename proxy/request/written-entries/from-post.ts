import { decideBypass } from '../../../policies/bypass.ts';
import { fieldValue, type Fields } from '../../../policies/http/fields.ts';
import { writtenFields } from '../../../policies/http/forwarding.ts';
import { isSteered, originForm } from '../../../policies/key.ts';
import type { StoredMeta } from '../../../policies/model.ts';
import { decidePostEntry } from '../../../policies/rfc9111/post-entry.ts';
import type { AskedEntry, Invalidated } from '../../fence/fence.ts';
import { receivedResponse } from '../../store/received.ts';
import { keyOfContext, sentFields, type RoutedContext } from '../context.ts';
import { storeEntry, MAX_ENTRY_BYTES, tagsOfTarget, type EntryStore } from './store-entry.ts';

/** The response to a POST that becomes the entry for a GET of its target (RFC 9110 §9.3.3). */
export class PostResponseEntry {
  readonly #context: RoutedContext;
  readonly #entryStore: EntryStore;
  readonly #requestTimeMs: number;
  #meta: StoredMeta | null = null;
  #tags: readonly string[] = [];
  /** The sequence of the POST's own invalidation; -1: the response does not become the entry. */
  #floor = -1;
  #chunks: Uint8Array[] = [];
  #bytes = 0;

  private constructor(context: RoutedContext, entryStore: EntryStore) {
    this.#context = context;
    this.#entryStore = entryStore;
    this.#requestTimeMs = entryStore.clock.nowMs();
  }

  /**
   * Null where no response can become the entry: the request is no POST, the origin is sent something that no GET of the
   * target sends, such a GET has another route, or responses of this route may show an earlier state than they seem to.
   */
  static expect(context: RoutedContext, entryStore: EntryStore): PostResponseEntry | null {
    const { exchange, configuration, route, authority, path, query } = context;
    if (exchange.method !== 'POST' || isSteered(exchange.fields)) return null;
    if (decideBypass(exchange.fields, route.config.cache) !== null) return null;
    if (route.readLagMs > 0 || route.config.cache.versionHeader !== null) return null;
    if (keyOfContext(context).query !== query) return null;
    const found = configuration.router.match('GET', authority, path);
    const isSameRoute = found.kind === 'route' && found.route.name === route.config.name;
    return isSameRoute ? new PostResponseEntry(context, entryStore) : null;
  }

  /** The head has come, and the POST's invalidation follows. Undefined: the response does not become the entry. */
  answered(status: number, fields: Fields): AskedEntry | undefined {
    if (!this.#decide(status, fields)) return undefined;
    return { tags: this.#entryStore.hasher.hash(this.#tags), floor: this.#context.arrival };
  }

  /** The invalidation is done. If nothing else has touched the entry's tags since the POST arrived, it is as the POST made it. */
  invalidated({ sequence, isTouched }: Invalidated): void {
    if (this.#meta !== null && !isTouched) this.#floor = sequence;
  }

  append(chunk: Uint8Array): void {
    if (this.#floor < 0) return;
    this.#bytes += chunk.byteLength;
    if (this.#bytes <= MAX_ENTRY_BYTES) this.#chunks.push(chunk);
    else this.#giveUp();
  }

  /** The content has come whole. */
  finish(): void {
    if (this.#floor < 0 || this.#meta === null) return;
    const content = Buffer.concat(this.#chunks);
    storeEntry(this.#context, this.#entryStore, {
      meta: this.#meta,
      tags: this.#tags,
      floor: this.#floor,
      content,
    });
    this.#giveUp();
  }

  #decide(status: number, fields: Fields): boolean {
    const { exchange, route, scheme, authority, path, query } = this.#context;
    if (Number(fieldValue(fields, 'content-length') ?? 0) > MAX_ENTRY_BYTES) return false;
    const { method } = exchange;
    const request = { method, fields: exchange.fields, written: writtenFields(sentFields(this.#context)) };
    const answered = { request, requestTimeMs: this.#requestTimeMs, authority, route };
    const decision = decidePostEntry(receivedResponse(this.#entryStore.clock, answered, status, fields), {
      method,
      target: originForm(path, query),
      authority,
      scheme,
      aliases: route.originConfig.urls,
      status,
      fields,
    });
    if (decision.kind === 'not') return false;
    this.#meta = decision.meta;
    this.#tags = tagsOfTarget(this.#context, decision.meta);
    return true;
  }

  #giveUp(): void {
    this.#floor = -1;
    this.#chunks = [];
  }
}
