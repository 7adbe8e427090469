import type { CompiledRoute } from '../../policies/compiled-routes.ts';
import type { FeedTrust, StoredMeta } from '../../policies/model.ts';
import {
  decideLearning,
  mayDisplace,
  isInformative,
  type KnownResponse,
  type Learning,
  type LearntResponse,
} from '../../policies/rfc9111/learning.ts';
import { decideReuse, isStaleIfErrorStatus, standsIn } from '../../policies/rfc9111/reuse.ts';
import { tagOfUrl } from '../../policies/tags.ts';
import { changesFields, namesNewTags, updatedHead, type EntryHead } from './entry-head.ts';
import type { Tiers } from './tiers.ts';
import type { StoredEntry } from './entry.ts';
import type { Clock } from '../threads/clock.ts';
import { judge } from './verdict.ts';
import type { FenceReader } from '../fence/reader.ts';

/** An answer of the origin for a key, as plain data that workers send to each other. */
export interface Lesson {
  readonly key: string;
  readonly route: string;
  readonly answer: LearntResponse;
  /** The tag of the requested URL. */
  readonly urlTag: string;
  /** The id of the entry that the answer is stored as; null: it is not stored. */
  readonly entryId: string | null;
}

/**
 * `query` is the keyed query. The lesson says that the response is not stored (`entryId` is null); a caller that stores it sets
 * the id.
 */
export function lessonOf(
  {
    key,
    route,
    path,
    query,
  }: Pick<Lesson, 'key' | 'route'> & { readonly path: string; readonly query: string },
  answer: LearntResponse,
): Lesson {
  return { key, route, answer, urlTag: tagOfUrl(null, path, query), entryId: null };
}

export interface LearnerDependencies {
  readonly tiers: Tiers;
  readonly fence: FenceReader;
  readonly clock: Clock;
  routeNamed(name: string): CompiledRoute | null;
  trustOf(route: CompiledRoute): FeedTrust;
  /** Makes the other workers learn from the answer, each in its own memory. Resolves when they have. */
  shareLesson(lesson: Lesson): Promise<void>;
  /** Invalidates the URL but for this entry; gives the head with the floor that it may have then. */
  outdateCopies(head: EntryHead, urlTag: string): Promise<EntryHead>;
  /** Sends a changed head to workers that may have copies in memory. Resolves when they have applied it. */
  tellPeers(head: EntryHead): Promise<void>;
}

interface Learnt {
  readonly entry: StoredEntry;
  readonly learning: Learning;
}

/** Carries out what an answer of the origin means for stored responses, on every worker, in memory and on disk. */
export class Learner {
  readonly #deps: LearnerDependencies;

  constructor(deps: LearnerDependencies) {
    this.#deps = deps;
  }

  /**
   * Whether there is something to learn. `isStoredElsewhere`: another worker has entries of the key that this one may
   * lack.
   */
  concerns(lesson: Lesson, isStoredElsewhere: boolean): boolean {
    if (this.decide(lesson).length > 0) return true;
    const isElsewhere = isStoredElsewhere || this.#deps.tiers.isUnderWayElsewhere(lesson.key);
    return isElsewhere && isInformative(lesson.answer);
  }

  /** The stored responses that the answer concerns, with what it means for each. */
  decide(lesson: Lesson): readonly Learnt[] {
    return this.#decideFor(this.#deps.tiers.all(lesson.key, lesson.route), lesson);
  }

  /** Whether the answer may replace a stored response: an error may not replace one that may be served in its place. */
  mayDisplace({ key, route, answer }: Lesson): boolean {
    if (!isStaleIfErrorStatus(answer.status)) return true;
    const stored = this.#deps.tiers.all(key, route);
    return mayDisplace(
      stored.map((entry) => this.#known(entry, answer)),
      answer,
    );
  }

  /**
   * Resolves when no worker serves what the answer has replaced or outdated, and every worker has marked what is stale.
   * A fetch that is answered with 304 calls `freshen` for the entry that it has asked about.
   */
  async learn(lesson: Lesson): Promise<void> {
    await Promise.all(this.decide(lesson).map((learnt) => this.#carryOut(learnt, lesson)));
    // After the disk: a worker that drops an entry must not promote it from disk again.
    await this.#deps.shareLesson(lesson);
  }

  /**
   * Applies an answer that another worker has received to the memory of this one at once. Resolves when no worker finds on
   * disk, as it was, what was in flight there from this one. Never rejects.
   */
  async learnInMemory(lesson: Lesson): Promise<void> {
    const { tiers, outdateCopies } = this.#deps;
    const own = tiers.own(lesson.key, lesson.route);
    const learnt = this.#decideFor(own, lesson).map(async ({ entry, learning }) => {
      const { head } = entry;
      let isSafe = true;
      if (learning.kind === 'stale') isSafe = await tiers.updateHere({ ...head, meta: learning.meta });
      else if (isOver(learning)) isSafe = await tiers.dropHere(head);
      // A restart would bring the entry back as it was, unless it is fenced.
      if (!isSafe && learning.kind !== 'replaced') await outdateCopies(head, lesson.urlTag);
    });
    await Promise.all(learnt);
  }

  /**
   * Puts a confirmed entry's new head in place of its old one. `outdates`: older copies lack what the confirmation has
   * brought, and are invalidated first; else memory has the head on return. Resolves with the head that may be used
   * then; `written` resolves when every worker finds it on disk. Neither rejects.
   */
  async freshen(
    updated: EntryHead,
    outdates: boolean,
    urlTag: string,
  ): Promise<{ readonly head: EntryHead; readonly written: Promise<void> }> {
    const { tiers, outdateCopies } = this.#deps;
    const head = outdates ? await outdateCopies(updated, urlTag) : updated;
    return { head, written: tiers.update(head) };
  }

  #decideFor(entries: readonly StoredEntry[], { answer, entryId }: Lesson): Learnt[] {
    return entries
      .filter(({ head }) => head.id !== entryId)
      .map((entry) => ({ entry, learning: decideLearning(this.#known(entry, answer), answer) }))
      .filter(({ learning }) => learning.kind !== 'nothing');
  }

  async #carryOut({ entry, learning }: Learnt, { answer, urlTag }: Lesson): Promise<void> {
    const { tiers, outdateCopies } = this.#deps;
    const { head } = entry;
    switch (learning.kind) {
      case 'stale':
        // Where the cache's disk can't be written, a restart would bring the entry back as it was, unless it is fenced.
        if (!(await tiers.updateSynced({ ...head, meta: learning.meta }))) await outdateCopies(head, urlTag);
        return;
      case 'outdated':
        if (!(await tiers.drop(head))) await outdateCopies(head, urlTag);
        return;
      case 'replaced':
        await tiers.drop(head);
        return;
      case 'confirmed':
        if (answer.asked.method === 'HEAD') await this.#freshenByHead(entry, learning.meta, urlTag);
        return;
      case 'nothing':
        return;
      default:
        learning satisfies never;
    }
  }

  /** RFC 9111 §4.3.5. Not for an invalidated entry, which only a validator confirms: this HEAD was sent without. */
  async #freshenByHead(entry: StoredEntry, meta: StoredMeta, urlTag: string): Promise<void> {
    const { fence, tellPeers } = this.#deps;
    if (fence.verdict(entry).kind !== 'clear') return;
    const updated = updatedHead(entry.head, meta, fence.hasher);
    const outdates = namesNewTags(entry.head, meta) || changesFields(entry.head, meta);
    const { head, written } = await this.freshen(updated, outdates, urlTag);
    await Promise.all([written, tellPeers(head)]);
  }

  #known(entry: StoredEntry, answer: LearntResponse): KnownResponse {
    const { meta, head } = entry;
    const standsIn = isStaleIfErrorStatus(answer.status) && this.#standsIn(entry, answer);
    return { meta, sizeBytes: head.sizeBytes, floor: head.floor, standsIn };
  }

  /**
   * Whether the entry may be served in place of the error: to a client without directives, or to the one that asked.
   */
  #standsIn(entry: StoredEntry, { request: asked, policy, responseTimeMs: nowMs }: LearntResponse): boolean {
    const route = this.#deps.routeNamed(entry.head.route);
    if (route === null) return false;
    const views = [{ method: 'GET', fields: [] }, asked];
    const judgement = judge(this.#deps, entry, route);
    return views.some((request) =>
      standsIn(decideReuse({ meta: entry.meta, request, ...judgement, policy, nowMs }), nowMs),
    );
  }
}

/** Whether the entry must not be served any more. */
function isOver({ kind }: Learning): boolean {
  return kind === 'replaced' || kind === 'outdated';
}
