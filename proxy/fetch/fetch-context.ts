import { originForm } from '../../policies/key.ts';
import { hasField, withoutFields, type Fields } from '../../policies/http/fields.ts';
import type { FeedTrust, RequestView, StoredMeta, StoringDecision } from '../../policies/model.ts';
import type { ReceivedResponse } from '../../policies/rfc9111/storing.ts';
import { tagOfUrl } from '../../policies/tags.ts';
import type { OriginCall, OriginHandler } from '../../origin-adapters/origin.ts';
import type { FeedView } from '../feeds/shared-feed.ts';
import type { FenceReader } from '../fence/reader.ts';
import { withTags, type HashedTags } from '../fence/tag-hash.ts';
import type { Mechanisms } from '../mechanisms.ts';
import type { ActiveRoute } from '../origins/active-route.ts';
import { FlightBody } from '../store/body.ts';
import { newEntryHead, type EntryHead } from '../store/entry-head.ts';
import { EntryWriter } from '../store/entry-writer.ts';
import { lessonOf, type Learner, type Lesson } from '../store/learner.ts';
import { receivedResponse } from '../store/received.ts';
import type { Tiers } from '../store/tiers.ts';
import type { Clock } from '../threads/clock.ts';
import { FetchContent } from './fetch-content.ts';
import type { FetchRequest } from './fetch-request.ts';
import type { FetchEvents } from './flight-result.ts';
import type { AskedEntries } from './machine.ts';
import { FetchSnapshot } from './snapshot.ts';

export interface OriginFetchDependencies {
  readonly fence: FenceReader;
  readonly tiers: Tiers;
  readonly learner: Learner;
  readonly clock: Clock;
  readonly mechanisms: Mechanisms;
  readonly windowBytes: number;
  readonly maxObjectBytes: number;
  newEntryId(): string;
  trustOf(route: ActiveRoute): FeedTrust;
  /** The route's feed; null: it has none. */
  feedOf(route: ActiveRoute): FeedView | null;
  /**
   * Makes all older copies of the entry invalid, because they lack its new tags or fields. Resolves with the head
   * that may be used from then on; never rejects.
   */
  outdateCopies(head: EntryHead, urlTag: string): Promise<EntryHead>;
  /** Records the time from the request to the origin's response head. */
  originHead(route: string, durationMs: number): void;
  /** Receives what was thrown by a fault of Weir's own. */
  onInternalError(error: unknown): void;
}

export interface OriginFetchCounters {
  /** Entity tags of stored responses that were left out of the conditions because of their bounds. */
  tagsLeftOut: number;
  /** Requests that were sent again without conditions, because the origin had refused the conditions. */
  conditionsRefused: number;
}

/** Events of the content and its writer. */
export interface ContentEvents {
  readonly onDeserted: () => void;
  readonly onStored: () => void;
}

/** The data that the states of one fetch share: the request, its time, and the result. */
export class FetchContext {
  readonly deps: OriginFetchDependencies;
  readonly route: ActiveRoute;
  readonly request: FetchRequest;
  readonly events: FetchEvents;
  readonly counters: OriginFetchCounters;
  readonly snapshot: FetchSnapshot;
  /** Tags of every response to this request. */
  readonly known: HashedTags;
  readonly #contentEvents: ContentEvents;
  #call: OriginCall | null = null;
  #sentAtMs = 0;

  constructor(
    deps: OriginFetchDependencies,
    route: ActiveRoute,
    request: FetchRequest,
    events: FetchEvents,
    counters: OriginFetchCounters,
    contentEvents: ContentEvents,
  ) {
    this.deps = deps;
    this.route = route;
    this.request = request;
    this.events = events;
    this.counters = counters;
    this.#contentEvents = contentEvents;
    this.known = deps.fence.hasher.ofEntry({
      authority: request.authority,
      path: request.path,
      query: request.query,
      route: route.config.name,
      origin: route.config.origin,
      feed: route.feed?.name ?? null,
      extra: request.routeTags,
    });
    this.snapshot = new FetchSnapshot(deps, route, deps.feedOf(route));
  }

  get urlTag(): string {
    const { path, query } = this.request;
    return tagOfUrl(null, path, query);
  }

  send(conditions: Fields, handler: OriginHandler): void {
    const { method, originFields, path, query, priority } = this.request;
    this.#sentAtMs = this.deps.clock.monotonicMs();
    this.#call = this.route.origin.send(
      {
        method,
        path: originForm(path, query),
        fields: [...originFields, ...conditions],
        body: null,
        priority,
        unboundedBody: false,
      },
      handler,
    );
  }

  abort(cause?: 'client-left'): void {
    this.#call?.abort(cause);
  }

  noteHead(): void {
    this.deps.originHead(this.request.route, this.deps.clock.monotonicMs() - this.#sentAtMs);
  }

  /** `first`: stored bytes before the origin's content; `rest`: stored bytes after it. */
  newContent(
    writer: EntryWriter | null,
    first: Uint8Array | null = null,
    rest: Uint8Array | null = null,
  ): FetchContent {
    const body = new FlightBody({
      windowBytes: this.deps.windowBytes,
      keepsAll: writer?.inMemory ?? false,
      isStored: writer?.onDisk ?? false,
      pause: () => this.#call?.pause(),
      resume: () => this.#call?.resume(),
      onDeserted: this.#contentEvents.onDeserted,
    });
    const content = new FetchContent(body, writer, rest);
    if (first !== null && first.byteLength > 0) {
      content.hold();
      content.append(first);
    }
    return content;
  }

  /** null: no tier accepts the response. `lesson`: applied once the response is stored. */
  beginWriter(
    meta: StoredMeta,
    sizeBytes: number,
    fields: Fields,
    lesson: Lesson | null,
  ): EntryWriter | null {
    const { deps, route, request } = this;
    const head = this.entryHead(meta, sizeBytes, fields);
    const relevant = lesson !== null && deps.learner.concerns(lesson, request.hasStored) ? lesson : null;
    return EntryWriter.begin(head, {
      tiers: deps.tiers,
      maxObjectBytes: deps.maxObjectBytes,
      maxVariants: route.config.cache.maxVariants,
      toDisk: true,
      newEntryId: deps.newEntryId,
      over: this.#contentEvents.onStored,
      settled: (isKept) => {
        if (relevant !== null) this.#learn(relevant, isKept ? head.id : null);
      },
    });
  }

  entryHead(meta: StoredMeta, sizeBytes: number, fields: Fields): EntryHead {
    const { deps, route, snapshot } = this;
    const { tags, tagHashes } = withTags(this.known, meta.responseTags, deps.fence.hasher);
    return newEntryHead(route, this.request, {
      id: deps.newEntryId(),
      meta,
      tags,
      tagHashes,
      floor: snapshot.floor,
      possiblyStale: snapshot.isPossiblyStale(tagHashes, fields),
      sizeBytes,
    });
  }

  lesson(
    { own, replacesServed }: AskedEntries,
    status: number,
    fields: Fields,
    storing: StoringDecision,
    isKept: boolean,
  ): Lesson {
    const { request, snapshot } = this;
    const { method } = request;
    const conditions = own.length > 0 ? 'own' : 'none';
    // A fresh entry that only the client's directives rejected is in question only if the request validated it.
    const isInQuestion = !replacesServed || own.length > 0;
    return lessonOf(request, {
      ...this.received(status, fields),
      asked: { method, conditions, isInQuestion },
      floor: snapshot.floor,
      storing,
      isKept,
    });
  }

  /** The response with the request that it answers. `range`: the fields by which the rest of a part was requested. */
  received(status: number, fields: Fields, range: Fields = []): ReceivedResponse {
    const { deps, route, snapshot } = this;
    const asked = this.#sentRequest;
    const request = range.length === 0 ? asked : { ...asked, fields: [...asked.fields, ...range] };
    const { requestTimeMs } = snapshot;
    const { authority } = this.request;
    return receivedResponse(deps.clock, { request, requestTimeMs, authority, route }, status, fields);
  }

  /** The client's request as it is sent: without its range, unless a part is asked for. */
  get #sentRequest(): RequestView {
    const { request, asksPart } = this.request;
    const { fields } = request;
    if (asksPart || !(hasField(fields, 'range') || hasField(fields, 'if-range'))) return request;
    return { ...request, fields: withoutFields(fields, RANGE) };
  }

  /** Applies the lesson when storing has ended. `entryId`: the stored entry; null: the response was not stored. */
  #learn(lesson: Lesson, entryId: string | null): void {
    const isKept = entryId !== null;
    const { learner, onInternalError } = this.deps;
    learner.learn({ ...lesson, entryId, answer: { ...lesson.answer, isKept } }).catch(onInternalError);
  }
}

const RANGE: ReadonlySet<string> = new Set(['range', 'if-range']);
