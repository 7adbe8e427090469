import { originForm } from '../../policies/key.ts';
import { isWeakEtag } from '../../policies/http/etags.ts';
import { COOKIES, fieldValue, withoutFields, type Fields } from '../../policies/http/fields.ts';
import { endToEnd } from '../../policies/http/hop-by-hop.ts';
import type { FeedTrust, NotStoredReason, StoredMeta, StoringDecision } from '../../policies/model.ts';
import { namesCodingOf } from '../../policies/rfc9111/accept-encoding.ts';
import { combinedMeta, completionFields } from '../../policies/rfc9111/parts.ts';
import { decideReuse, isConfirmable } from '../../policies/rfc9111/reuse.ts';
import { decideStoring } from '../../policies/rfc9111/storing.ts';
import {
  adopt,
  decideAskedAbout,
  decideConfirmation,
  freshen,
  mayBeDueTo,
  validationFields,
  type Update,
} from '../../policies/rfc9111/validation.ts';
import { answers } from '../../policies/rfc9111/vary.ts';
import { entryTags, groupSite, tagOfUrl } from '../../policies/tags.ts';
import type { OriginCall, OriginFailure, OriginHandler } from '../../origin-adapters/origin.ts';
import { changesFields, namesNewTags, updatedHead, type EntryHead } from '../store/entry-head.ts';
import { isSameVariant, type Tiers } from '../store/tiers.ts';
import { StoredEntry } from '../store/entry.ts';
import { judge } from '../store/verdict.ts';
import { wallMs, type Clock } from '../threads/clock.ts';
import type { FeedView } from '../feeds/shared-feed.ts';
import type { FenceReader } from '../fence/reader.ts';
import type { TagHashes } from '../fence/tag-hash.ts';
import type { Mechanisms } from '../mechanisms.ts';
import type { ActiveRoute } from '../routes/active-route.ts';
import { FlightBody } from '../store/body.ts';
import type { FlightEvents } from './flight.ts';
import type { Learner, Lesson } from '../store/learner.ts';
import { FetchSnapshot } from './snapshot.ts';
import { isAsLongAsItSays, setCookies, sizeOf, unstoredFields } from './response-head.ts';
import { EntryWriter } from '../store/entry-writer.ts';
import type { FetchRequest } from './fetch-request.ts';

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
  /** The route's own. */
  feedOf(route: ActiveRoute): FeedView | null;
  /**
   * Makes every older copy of the entry invalid, for it lacks what the entry has got. Resolves with the head as it
   * may be used then; never rejects.
   */
  outdateCopies(head: EntryHead, urlTag: string): Promise<EntryHead>;
  /** How long the origin took over the head of its answer. */
  originHead(route: string, durationMs: number): void;
}

export interface OriginFetchCounters {
  /** Entity tags of stored responses that the bounds on conditions kept from being asked about. */
  tagsLeftOut: number;
  /** Requests that were sent again without conditions, for the origin had refused them with. */
  conditionsRefused: number;
}

/**
 * Asks the origin on behalf of a flight: validates what is stored, or fetches; stores while the answer streams, and
 * commits the entry only when the body is whole.
 */
export class OriginFetch implements OriginHandler {
  /** When the origin was asked. */
  readonly moment: FetchSnapshot;
  /** Tags that every answer to this request will bear. */
  readonly knownTags: TagHashes;
  readonly #deps: OriginFetchDependencies;
  readonly #route: ActiveRoute;
  readonly #request: FetchRequest;
  readonly #events: FlightEvents;
  readonly #counters: OriginFetchCounters;
  readonly #knownTagNames: readonly string[];
  /** Only the client's directives had it asked for: others are served still, from copies of what is stored. */
  readonly #replacesServed: boolean;
  /** What is asked about, and could have answered the request itself. */
  #own: readonly StoredEntry[] = [];
  /** What is asked about beside it: its content would do, though it was stored for other requests (RFC 9111 §4.1). */
  #others: readonly StoredEntry[] = [];
  /** A stored part that the origin is asked to complete (RFC 9111 §3.4). */
  #incomplete: StoredEntry | null;
  /** Of that part, what comes after the origin's content. */
  #rest: Uint8Array | null = null;
  /** What was added to the request that the origin answers. */
  #conditions: Fields = [];
  #call: OriginCall | null = null;
  #sentAtMs = 0;
  #landed = false;
  /** What the origin does once the head is there for others: the landing takes its time. */
  #afterLanding: (() => void) | null = null;
  #isGivenUp = false;
  #lessonAtEnd: Lesson | null = null;
  #body: FlightBody | null = null;
  #storing: EntryWriter | null = null;

  constructor(
    deps: OriginFetchDependencies,
    route: ActiveRoute,
    request: FetchRequest,
    events: FlightEvents,
    counters: OriginFetchCounters,
  ) {
    this.#deps = deps;
    this.#route = route;
    this.#request = request;
    this.#events = events;
    this.#counters = counters;
    this.#knownTagNames = entryTags({
      authority: request.authority,
      path: request.path,
      query: request.query,
      route: route.config.name,
      origin: route.config.origin,
      feed: route.feed?.name ?? null,
      extra: request.routeTags,
    });
    this.knownTags = deps.fence.hasher.hash(this.#knownTagNames);
    this.moment = new FetchSnapshot(deps, route, deps.feedOf(route));
    const asksOtherwise = request.asksPart || request.method === 'HEAD';
    const stored = asksOtherwise ? [] : deps.tiers.all(request.key, route.config.name);
    const confirmable = stored.filter((entry) => this.#isConfirmable(entry));
    const own = confirmable.filter(({ meta }) => answers(meta, request.request));
    // A date alone asks about one entry.
    const asksByDate = own.length > 0 && own.every(({ meta }) => meta.etag === null);
    const others = asksByDate ? [] : confirmable.filter((entry) => this.#isAdoptable(entry));
    const asked = decideAskedAbout(own, others, route.config.cache);
    this.#own = asked.own;
    this.#others = asked.others;
    counters.tagsLeftOut += asked.leftOut;
    this.#replacesServed = stored.some((entry) => this.#isServed(entry));
    this.#incomplete = asksOtherwise || confirmable.length > 0 ? null : this.#completable();
  }

  send(): void {
    const { originFields, path, query, priority } = this.#request;
    this.#sentAtMs = this.#deps.clock.monotonicMs();
    this.#conditions = this.#preconditions();
    this.#call = this.#route.origin.send(
      {
        method: this.#request.method,
        path: originForm(path, query),
        fields: [...originFields, ...this.#conditions],
        body: null,
        priority,
        unboundedBody: false,
      },
      this,
    );
  }

  /** Nobody waits any more. What can be stored is stored all the same. */
  abandon(): void {
    if (this.#storing === null) this.#end();
  }

  onInformational(status: number, fields: Fields): void {
    this.#events.inform(status, fields);
  }

  onHead(status: number, fields: Fields): void {
    this.#deps.originHead(this.#request.route, this.#deps.clock.monotonicMs() - this.#sentAtMs);
    if (mayBeDueTo(this.#conditions, status)) this.#askWithout();
    else if (status === 304 && this.#own.length + this.#others.length > 0) this.#confirm(fields);
    else if (this.#incomplete !== null && status === 206) this.#complete(status, fields);
    else if (this.#request.method === 'HEAD') this.#receiveHead(status, fields);
    else this.#receive(status, fields);
  }

  onData(chunk: Uint8Array): void {
    this.#body?.append(chunk);
    this.#storing?.append(chunk);
    // It may have no end.
    if (this.#landed && this.#storing?.isLost === true) this.#body?.desertIfUnread();
  }

  onEnd(trailers: Fields): void {
    const body = this.#body;
    if (body === null) return;
    if (!this.#landed) {
      this.#afterLanding = () => this.onEnd(trailers);
      return;
    }
    if (this.#rest !== null) this.onData(this.#rest);
    if (this.#storing === null) {
      body.end(endToEnd(trailers));
      this.#events.over();
    } else {
      this.#storing.finish(withoutFields(endToEnd(trailers), COOKIES));
    }
  }

  onFailure(failure: OriginFailure): void {
    this.#isGivenUp = true;
    if (!this.#landed) this.#events.land({ kind: 'failed', failure, told: null });
    this.#storing?.abort();
    this.#body?.fail();
    this.#events.over();
  }

  /** Gives the request up: nobody is left who wants it. */
  #end(): void {
    this.#isGivenUp = true;
    this.#call?.abort('client-left');
    this.#storing?.abort();
    this.#body?.fail();
    this.#events.over();
  }

  /** Stored variants may be confirmed by the origin: after an invalidation only by a strong validator. */
  #isConfirmable(entry: StoredEntry): boolean {
    const { verdict, trust } = judge(this.#deps, entry, this.#route);
    return entry.meta.part === null && isConfirmable(entry.meta, verdict, trust);
  }

  /** Whether the content of an entry for other requests may answer this one, should the origin say so. */
  #isAdoptable({ meta, head, content }: StoredEntry): boolean {
    const wanted = this.#request.request;
    if (answers(meta, wanted) || meta.etag === null || isWeakEtag(meta.etag)) return false;
    if (!namesCodingOf(meta, fieldValue(wanted.fields, 'accept-encoding'))) return false;
    return content !== null || head.sizeBytes <= this.#deps.windowBytes;
  }

  /** Whether it is the answer to whoever asks the same without directives of their own. */
  #isServed(entry: StoredEntry): boolean {
    const { meta } = entry;
    if (meta.part !== null || !answers(meta, this.#request.request)) return false;
    const decision = decideReuse({
      meta,
      request: { method: 'GET', fields: [] },
      ...judge(this.#deps, entry, this.#route),
      policy: this.#route.config.cache,
      nowMs: this.moment.requestTimeMs,
    });
    return decision.kind === 'serve';
  }

  /** A part of the variant that answers the request, in memory and with a strong ETag. */
  #completable(): StoredEntry | null {
    const { tiers } = this.#deps;
    const parts = tiers.memory
      .get(this.#request.key)
      .filter(({ head, content }) => head.route === this.#request.route && content !== null);
    const wanted = this.#request.request;
    return parts.find(({ meta }) => answers(meta, wanted) && this.#isCompletable(meta)) ?? null;
  }

  /** A tag that is too long to be sent counts as left out. */
  #isCompletable(meta: StoredMeta): boolean {
    if (completionFields(meta) === null) return false;
    const { own, leftOut } = decideAskedAbout([{ meta }], [], this.#route.config.cache);
    this.#counters.tagsLeftOut += leftOut;
    return own.length > 0;
  }

  #preconditions(): Fields {
    if (this.#incomplete !== null) return completionFields(this.#incomplete.meta) ?? [];
    return validationFields([...this.#own, ...this.#others].map((entry) => entry.meta));
  }

  /** What is stored and what came make the whole, or the whole is asked for. */
  #complete(status: number, fields: Fields): void {
    const { meta, content } = this.#incomplete!;
    const asked = this.#received(fields, completionFields(meta) ?? []);
    const decision = decideStoring({ ...asked, status });
    const whole = decision.kind === 'store' ? combinedMeta(decision.meta, meta) : null;
    const storing =
      whole === null || whole.part !== null
        ? null
        : this.#beginStoring(whole, meta.part?.completeBytes ?? -1, fields);
    if (storing === null) {
      this.#askAnew();
      return;
    }
    this.#land(status, fields, storing, this.#lesson(status, fields, { kind: 'store', meta: whole! }, true));
    if (meta.part?.first === 0) this.onData(content!);
    else this.#rest = content;
  }

  #confirm(fields: Fields): void {
    const own = this.#own.map(({ meta }) => meta);
    const others = this.#others.map(({ meta }) => meta);
    const confirmation = decideConfirmation(fields, own, others);
    switch (confirmation.kind) {
      case 'own':
        this.#confirmOwn(this.#own[confirmation.index]!, fields);
        return;
      case 'other':
        this.#adopt(this.#others[confirmation.index]!, fields);
        return;
      case 'none':
        this.#askAnew();
        return;
      default:
        confirmation satisfies never;
    }
  }

  #confirmOwn(entry: StoredEntry, fields: Fields): void {
    const { tiers, learner } = this.#deps;
    const decision = freshen(entry.meta, this.#received(fields));
    if (decision.kind === 'not' && decision.reason !== 'request-no-store') {
      void this.#askAnewAfter(learner.learn(this.#lesson(304, fields, decision, false)));
      return;
    }
    // A newer answer than this may have outdated it meanwhile.
    if (tiers.isDropped(entry.head.id) || !this.#hasContent(entry)) {
      this.#askAnew();
      return;
    }
    const meta = decision.kind === 'store' ? decision.meta : entry.meta;
    const confirmed = this.#confirmed(entry, meta, fields);
    this.#landed = true;
    if (decision.kind === 'not') this.#landConfirmed(confirmed, fields);
    else if (this.#outdatesCopies(entry.head, meta)) void this.#landAlone(confirmed, fields);
    else {
      void this.#deps.tiers.update(confirmed.head);
      this.#landConfirmed(confirmed, fields);
    }
  }

  /** The content of another variant becomes an entry of this request's own; nothing of the other one changes. */
  #adopt(other: StoredEntry, fields: Fields): void {
    const content = other.content ?? this.#deps.tiers.read(other.head);
    const decision = content === null ? null : adopt(other.meta, this.#received(fields));
    const storing =
      decision?.kind === 'store' ? this.#beginStoring(decision.meta, other.head.sizeBytes, fields) : null;
    if (storing === null) {
      this.#askAnew();
      return;
    }
    this.#land(304, fields, storing, null);
    if (content!.byteLength > 0) this.onData(content!);
  }

  /** Nobody hears of a tag that some copy of the entry could still do without, or of fields that some do not have. */
  #outdatesCopies(head: EntryHead, meta: StoredMeta): boolean {
    return namesNewTags(head, meta) || (this.#replacesServed && changesFields(head, meta));
  }

  async #landAlone({ head, content }: StoredEntry, fields: Fields): Promise<void> {
    const { tiers, outdateCopies } = this.#deps;
    const latest = await outdateCopies(head, this.#urlTag);
    const confirmed = new StoredEntry(latest, content, tiers.sentFieldsOf(latest));
    void tiers.update(latest);
    this.#landConfirmed(confirmed, fields);
  }

  #landConfirmed(confirmed: StoredEntry, fields: Fields): void {
    this.#events.land({
      kind: 'entry',
      entry: confirmed,
      body: null,
      originStatus: 304,
      collapsed: false,
      ownFields: setCookies(fields),
    });
    this.#events.over();
  }

  /** The very entry that was asked about, with its floor raised to this flight's. Tags are added, never removed. */
  #confirmed(entry: StoredEntry, meta: StoredMeta, fields: Fields): StoredEntry {
    const { tiers, mechanisms, fence } = this.#deps;
    const { tags, tagHashes } = updatedHead(entry.head, meta, fence.hasher, this.#knownTagNames);
    const target = mechanisms.entryIdInNotModified ? entry : standIn(tiers, entry);
    const head: EntryHead = {
      ...target.head,
      meta: target.head.id === entry.head.id ? meta : target.head.meta,
      tags,
      tagHashes,
      floor: Math.max(this.moment.floor, target.head.floor),
      possiblyStale: this.moment.isPossiblyStale(tagHashes, fields),
    };
    return new StoredEntry(head, target.content, tiers.sentFieldsOf(head));
  }

  get #urlTag(): string {
    const { path, query } = this.#request;
    return tagOfUrl(null, path, query);
  }

  #hasContent(entry: StoredEntry): boolean {
    if (this.#deps.tiers.isReadable(entry)) return true;
    void this.#deps.tiers.discard(entry.head);
    return false;
  }

  /** What may be kept no longer is so on no worker. */
  async #askAnewAfter(learnt: Promise<void>): Promise<void> {
    await learnt;
    if (!this.#isGivenUp) this.#askAnew();
  }

  /** The answer to the request without conditions counts, whatever it is. */
  #askWithout(): void {
    this.#counters.conditionsRefused += 1;
    this.#askAnew();
  }

  /** The 304 confirms nothing that is here: the same flight asks for the whole. */
  #askAnew(): void {
    this.#own = [];
    this.#others = [];
    this.#incomplete = null;
    this.#call?.abort();
    this.send();
  }

  #receive(status: number, fields: Fields): void {
    const decision = decideStoring({ ...this.#received(fields), status });
    const lesson = this.#lesson(status, fields, decision, true);
    const displaces = this.#deps.learner.mayDisplace(lesson);
    const storing =
      decision.kind === 'store' && displaces && isAsLongAsItSays(decision.meta, fields)
        ? this.#beginStoring(decision.meta, sizeOf(decision.meta, fields), fields)
        : null;
    if (storing !== null) {
      this.#land(status, fields, storing, lesson);
      return;
    }
    const refused = displaces ? 'too-large' : 'stale-kept';
    const reason = decision.kind === 'not' ? decision.reason : refused;
    this.#landPassed(status, fields, reason, { ...lesson, answer: { ...lesson.answer, isKept: false } });
  }

  /** `lesson`: what there is to learn of it once it is stored; null: nothing. */
  #land(status: number, fields: Fields, storing: EntryWriter, lesson: Lesson | null): void {
    const body = this.#newBody(storing);
    storing.attach(body);
    const { learner } = this.#deps;
    if (lesson !== null && learner.concerns(lesson, this.#request.hasStored)) this.#lessonAtEnd = lesson;
    if (this.#replacesServed) void this.#landInPlace(status, fields, storing, body);
    else this.#landStored(status, fields, storing, body);
  }

  /** For one alone, and not before what it means for what is stored is so on every worker. */
  #landPassed(status: number, fields: Fields, reason: NotStoredReason, lesson: Lesson): void {
    const body = this.#newBody(null);
    const { learner } = this.#deps;
    const land = (): void => {
      this.#landed = true;
      this.#events.land({ kind: 'pass', status, fields, body, reason });
    };
    if (learner.concerns(lesson, this.#request.hasStored))
      void this.#landAfter(learner.learn(lesson), body, land);
    else land();
  }

  #newBody(storing: EntryWriter | null): FlightBody {
    const body = new FlightBody({
      windowBytes: this.#deps.windowBytes,
      keepsAll: storing?.inMemory ?? false,
      isStored: storing?.onDisk ?? false,
      pause: () => this.#call?.pause(),
      resume: () => this.#call?.resume(),
      onDeserted: () => this.#end(),
    });
    this.#body = body;
    this.#storing = storing;
    return body;
  }

  /** Nobody is told of what is new before it counts on every worker. */
  async #landInPlace(status: number, fields: Fields, storing: EntryWriter, body: FlightBody): Promise<void> {
    const outdated = this.#deps.outdateCopies(storing.entry.head, this.#urlTag);
    await this.#landAfter(outdated, body, ({ floor }) => {
      storing.raiseFloor(floor);
      this.#landStored(status, fields, storing, body);
    });
  }

  async #landAfter<T>(ready: Promise<T>, body: FlightBody, land: (result: T) => void): Promise<void> {
    // Those who wait read from the beginning, also where nothing can store what comes meanwhile.
    const beginning = body.reader(0, () => {});
    const result = await ready;
    if (this.#isGivenUp) return;
    land(result);
    this.#afterLanding?.();
    beginning.close();
  }

  #landStored(status: number, fields: Fields, storing: EntryWriter, body: FlightBody): void {
    this.#landed = true;
    this.#events.land({
      kind: 'entry',
      entry: storing.entry,
      body,
      originStatus: status,
      collapsed: false,
      ownFields: unstoredFields(fields, storing.entry.meta.fields),
    });
  }

  /** Nothing is stored of it; but what the GET would be allowed with its answer holds for this one, too. */
  #receiveHead(status: number, fields: Fields): void {
    const decision = decideStoring({ ...this.#received(fields), status });
    const lesson = this.#lesson(status, fields, decision, false);
    if (decision.kind === 'not') {
      this.#landPassed(status, fields, decision.reason, lesson);
      return;
    }
    const { learner } = this.#deps;
    if (!learner.concerns(lesson, this.#request.hasStored)) {
      this.#landHead(status, fields, decision.meta);
      return;
    }
    void learner.learn(lesson).then(() => {
      if (!this.#isGivenUp) this.#landHead(status, fields, decision.meta);
    });
  }

  #landHead(status: number, fields: Fields, meta: StoredMeta): void {
    this.#landed = true;
    const head: EntryHead = { ...this.#entryHead(meta, -1, fields), id: '' };
    this.#events.land({
      kind: 'entry',
      entry: new StoredEntry(head, null, this.#deps.tiers.sentFieldsOf(head)),
      body: null,
      originStatus: status,
      collapsed: false,
      ownFields: unstoredFields(fields, meta.fields),
    });
    this.#events.over();
  }

  #beginStoring(meta: StoredMeta, sizeBytes: number, fields: Fields): EntryWriter | null {
    const deps = this.#deps;
    const route = this.#route;
    const head = this.#entryHead(meta, sizeBytes, fields);
    return EntryWriter.begin(head, {
      tiers: deps.tiers,
      maxObjectBytes: deps.maxObjectBytes,
      maxVariants: route.config.cache.maxVariants,
      toDisk: true,
      newEntryId: deps.newEntryId,
      over: () => this.#events.over(),
      settled: (isKept) => this.#learnAtEnd(isKept ? head.id : null),
    });
  }

  #entryHead(meta: StoredMeta, sizeBytes: number, fields: Fields): EntryHead {
    const deps = this.#deps;
    const route = this.#route;
    const tags = [...new Set([...this.#knownTagNames, ...meta.responseTags])];
    const tagHashes = deps.fence.hasher.hash(tags);
    const { authority, path, query, key } = this.#request;
    const site = route.originConfig.hostHeader === 'client' ? `${this.#request.scheme}://${authority}` : '';
    return {
      id: deps.newEntryId(),
      key,
      route: route.config.name,
      origin: route.config.origin,
      url: `${site}${originForm(path, query)}`,
      meta,
      tags,
      tagHashes,
      floor: this.moment.floor,
      possiblyStale: this.moment.isPossiblyStale(tagHashes, fields),
      sizeBytes,
      evictLast: route.config.cache.evict === 'last',
    };
  }

  /** What was to be stored has come whole, and was stored under this id, or not after all. */
  #learnAtEnd(entryId: string | null): void {
    const lesson = this.#lessonAtEnd;
    if (lesson === null) return;
    const isKept = entryId !== null;
    void this.#deps.learner.learn({ ...lesson, entryId, answer: { ...lesson.answer, isKept } });
  }

  #lesson(status: number, fields: Fields, storing: StoringDecision, isKept: boolean): Lesson {
    const conditions = this.#own.length > 0 ? 'own' : 'none';
    const answer = {
      ...this.#received(fields),
      status,
      // What is fresh, and was passed over at a client's word, is in question only where it was asked about.
      asked: {
        method: this.#request.method,
        conditions,
        isInQuestion: !this.#replacesServed || this.#own.length > 0,
      },
      floor: this.moment.floor,
      storing,
      isKept,
    } as const;
    const { key, route } = this.#request;
    return { key, route, answer, urlTag: this.#urlTag, entryId: null };
  }

  /** `range`: what was asked for instead of the whole. */
  #received(fields: Fields, range: Fields = []): Update {
    const { request, asksPart } = this.#request;
    const asked = asksPart ? request.fields : [...withoutFields(request.fields, RANGE), ...range];
    return {
      request: { ...request, fields: asked },
      fields,
      requestTimeMs: this.moment.requestTimeMs,
      responseTimeMs: this.#deps.clock.nowMs(),
      receiptMs: wallMs(this.#deps.clock),
      policy: this.#route.config.cache,
      authority: groupSite(this.#route.originConfig, this.#request.authority),
    };
  }
}

/** What stands where the entry stood, whichever that is now. */
function standIn(tiers: Tiers, entry: StoredEntry): StoredEntry {
  return tiers.memory.get(entry.head.key).find((other) => isSameVariant(other.head, entry.head)) ?? entry;
}

const RANGE: ReadonlySet<string> = new Set(['range', 'if-range']);
