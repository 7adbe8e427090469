import type { RouteCacheConfig } from '../../policies/config/config.ts';
import { downstreamFields } from '../../policies/http/downstream.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { withoutFields } from '../../policies/http/fields.ts';
import { VIA } from '../../policies/http/forwarding.ts';
import type { RequestView } from '../../policies/model.ts';
import { isSameVariant as areSameVariant, replaces } from '../../policies/rfc9111/parts.ts';
import { missOf, selectVariant, type Miss } from '../../policies/rfc9111/vary.ts';
import type { DiskEntry, DiskTier } from './disk-tier.ts';
import { isLater, mergedHead, type EntryHead } from './entry-head.ts';
import type { MemoryTier } from './memory.ts';
import { StoredEntry } from './entry.ts';

/**
 * How many ids of dropped entries are remembered, since copies may be in transit from a worker or in use by a request.
 */
const DROPPED_IDS = 10_000;

/** The entry for a request, or why there is none. */
export type TierLookup =
  { readonly entry: StoredEntry; readonly miss: null } | { readonly entry: null; readonly miss: Miss };

/**
 * Content on disk up to this size is read as a whole before a 304 confirms the entry, which takes about a millisecond.
 * Larger content is checked as it is read.
 */
const VERIFIED_BYTES = 2 ** 20;

/** The tiers of one worker as one store: memory first, then disk, from which small entries are promoted. */
export class Tiers {
  readonly memory: MemoryTier;
  readonly disk: DiskTier | null;
  readonly #policyOf: (route: string) => RouteCacheConfig | null;
  readonly #dropped = new Set<string>();
  /** How many entries had missing or damaged content. */
  lost = 0;
  promotions = 0;

  constructor(
    memory: MemoryTier,
    disk: DiskTier | null,
    policyOf: (route: string) => RouteCacheConfig | null,
  ) {
    this.memory = memory;
    this.disk = disk;
    this.#policyOf = policyOf;
  }

  /**
   * The variant that answers the request, fresh or not, or the kind of miss. An entry that was stored under another
   * route is not found, since it has that route's tags and lifetimes.
   */
  find(key: string, request: RequestView, route: string): TierLookup {
    const inMemory = ofRoute(this.memory.get(key), route);
    const index = inMemory.length === 0 ? -1 : selectVariant(inMemory, request);
    if (index >= 0) return { entry: inMemory[index]!, miss: null };
    const onDisk = this.#onDisk(key, route);
    const heads = onDisk.map(({ head }) => head);
    const chosen = selectVariant(heads, request);
    const entry = chosen < 0 ? null : this.#promote(onDisk[chosen]!);
    return entry === null ? { entry, miss: missOf([...inMemory, ...heads], request) } : { entry, miss: null };
  }

  /**
   * An entry on disk for the request that is later than one in memory: another worker may have stored it. Null: there
   * is none.
   */
  findLater({ head }: StoredEntry, request: RequestView): StoredEntry | null {
    const later = this.#onDisk(head.key, head.route).filter((other) => isLater(other.head, head));
    const index = selectVariant(
      later.map((other) => other.head),
      request,
    );
    return index < 0 ? null : this.#promote(later[index]!);
  }

  /** Every variant of a key that was stored under the route, once each; those from disk without content. */
  all(key: string, route: string): StoredEntry[] {
    const entries = this.own(key, route);
    const known = new Set(entries.map((entry) => entry.head.id));
    for (const head of this.#headsOnDisk(key)) {
      if (head.route === route && !known.has(head.id)) entries.push(this.#withoutContent(head));
    }
    return entries;
  }

  /**
   * The parts (206) among `stored`, as `all` gives them, with their content: those in memory, and those on disk that memory
   * would take. The worker that has fetched one part is not always the one that fetches the next.
   */
  partsOf(stored: readonly StoredEntry[]): StoredEntry[] {
    const parts: StoredEntry[] = [];
    for (const entry of stored) {
      const { head, content } = entry;
      if (head.meta.part === null) continue;
      const whole = content ?? (this.memory.admits(head.sizeBytes) ? this.read(head) : null);
      if (whole !== null)
        parts.push(content === null ? new StoredEntry(head, whole, entry.sentFields) : entry);
    }
    return parts;
  }

  /** Those of `all` that this worker alone may have: in memory, or in flight to the disk. */
  own(key: string, route: string): StoredEntry[] {
    const entries = [...this.memory.get(key)];
    const known = new Set(entries.map((entry) => entry.head.id));
    for (const { head, content } of this.#underWay(key)) {
      if (!known.has(head.id)) entries.push(new StoredEntry(head, content, this.sentFieldsOf(head), 'disk'));
    }
    return entries.filter((entry) => entry.head.route === route);
  }

  /** Whether another worker may have an entry of the key in flight to the disk, where this one does not find it. */
  isUnderWayElsewhere(key: string): boolean {
    return this.disk?.isUnderWayElsewhere(key) ?? false;
  }

  /**
   * Stores a whole entry in memory in place of older ones of the same variant; those are removed also where the entry
   * is too large or has no content. False: it is not stored. An entry with a lower floor than one that is there changes
   * nothing.
   */
  keep(entry: StoredEntry, maxVariants: number): boolean {
    const { head } = entry;
    if (this.isDropped(head.id)) return false;
    const isLate = this.memory
      .get(head.key)
      .some((other) => replaces(head.meta, other.meta) && other.head.floor > head.floor);
    if (isLate) return false;
    return this.memory.put(entry, maxVariants, (other) => replaces(head.meta, other.meta));
  }

  /**
   * Changes the head of an entry in both tiers, where that entry is still there. Resolves when every worker finds it on
   * disk.
   */
  async update(head: EntryHead): Promise<void> {
    this.updateMemory(head);
    await this.disk?.update(head);
  }

  /** As `update`, but resolves when a power failure can't take it back; false where the disk can't be written. */
  async updateSynced(head: EntryHead): Promise<boolean> {
    this.updateMemory(head);
    return (await this.disk?.updateSynced(head)) ?? true;
  }

  /** Changes the head in memory alone: another worker has changed it on disk. */
  updateMemory(learnt: EntryHead): void {
    const { key, id } = learnt;
    const known = this.memory.get(key).find((other) => other.head.id === id);
    if (known === undefined) return;
    const head = mergedHead(known.head, learnt);
    this.memory.update(new StoredEntry(head, known.content, this.sentFieldsOf(head)));
  }

  /** As `updateMemory`; as `updateSynced` where this worker's entry is in flight to the disk. */
  async updateHere(head: EntryHead): Promise<boolean> {
    this.updateMemory(head);
    return this.#isUnderWay(head) ? ((await this.disk?.updateSynced(head)) ?? true) : true;
  }

  /** The whole content of an entry on disk; null: missing or damaged. */
  read(head: EntryHead): Uint8Array | null {
    return this.disk === null ? null : readWhole(this.disk, head);
  }

  /**
   * This worker serves the entry no more, and resolves when no worker finds it on disk. False: the removal could not be
   * synced, and the entry may be found after a restart. Never rejects.
   */
  async drop(head: EntryHead): Promise<boolean> {
    this.#drop(head);
    return (await this.disk?.remove(head.key, head.id)) ?? true;
  }

  /**
   * Stops serving the entry on this worker. Requests that already read its content read on. Another worker has removed
   * it from disk, unless it was in flight there from this one: then resolves as `drop` does. Never rejects.
   */
  async dropHere(head: EntryHead): Promise<boolean> {
    const isUnderWay = this.#isUnderWay(head);
    this.#drop(head);
    return isUnderWay ? ((await this.disk?.remove(head.key, head.id)) ?? true) : true;
  }

  #drop({ key, id }: EntryHead): void {
    this.#dropped.add(id);
    if (this.#dropped.size > DROPPED_IDS) this.#dropped.delete(this.#dropped.values().next().value!);
    this.memory.remove(key, id);
  }

  /** Whether the entry was dropped lately: a request that had found it before must not serve it. */
  isDropped(id: string): boolean {
    return this.#dropped.has(id);
  }

  /** For an entry whose content is missing or damaged: resolves when no worker finds it. Never rejects. */
  async discard({ key, id }: EntryHead): Promise<void> {
    this.lost += 1;
    this.memory.remove(key, id);
    await this.disk?.discard(key, id);
  }

  /** Whether the entry's content is there and sound; of content above `VERIFIED_BYTES` only the first chunk is read. */
  isReadable({ head, content }: StoredEntry): boolean {
    if (content !== null) return true;
    const { sizeBytes } = head;
    const lookedAt = sizeBytes <= VERIFIED_BYTES ? sizeBytes : Math.min(1, sizeBytes);
    for (let position = 0; position < lookedAt;) {
      const bytes = this.disk?.read(head, position) ?? null;
      if (bytes === null) return false;
      position += bytes.byteLength;
    }
    return true;
  }

  /** Makes this worker find the entry no longer, in either tier. */
  forget(key: string, id: string): void {
    this.memory.remove(key, id);
    this.disk?.hide(id);
  }

  /** The fields that clients are sent with an entry of this head. */
  sentFieldsOf(head: EntryHead): Fields {
    const policy = this.#policyOf(head.route);
    const fields = policy === null ? head.meta.fields : downstreamFields(head.meta.fields, policy);
    const sized = head.sizeBytes < 0 ? [...fields] : withoutFields(fields, CONTENT_LENGTH);
    if (head.sizeBytes >= 0 && head.meta.status !== 204) sized.push('Content-Length', String(head.sizeBytes));
    sized.push('Via', VIA);
    return sized;
  }

  #underWay(key: string): readonly DiskEntry[] {
    return (this.disk?.underWay(key) ?? NONE_ON_DISK).filter(({ head }) => !this.#dropped.has(head.id));
  }

  #isUnderWay({ key, id }: EntryHead): boolean {
    return this.disk?.underWay(key).some(({ head }) => head.id === id) ?? false;
  }

  #onDisk(key: string, route: string): readonly DiskEntry[] {
    const entries = this.disk?.find(key) ?? NONE_ON_DISK;
    return entries.filter(({ head }) => head.route === route && !this.#dropped.has(head.id));
  }

  #headsOnDisk(key: string): readonly EntryHead[] {
    const heads = this.disk?.heads(key) ?? [];
    return this.#dropped.size === 0 ? heads : heads.filter(({ id }) => !this.#dropped.has(id));
  }

  #withoutContent(head: EntryHead): StoredEntry {
    return new StoredEntry(head, null, this.sentFieldsOf(head));
  }

  #promote({ head, content: found }: DiskEntry): StoredEntry | null {
    const { disk, memory } = this;
    if (disk === null) return null;
    disk.touch(head.id);
    const isSmall = memory.admits(head.sizeBytes);
    const content = found ?? (isSmall ? readWhole(disk, head) : null);
    const isThere = content !== null || (!isSmall && (head.sizeBytes === 0 || disk.read(head, 0) !== null));
    if (!isThere) {
      void this.discard(head);
      return null;
    }
    const entry = new StoredEntry(head, content, this.sentFieldsOf(head), isSmall ? 'memory' : 'disk');
    if (isSmall) {
      const maxVariants = this.#policyOf(head.route)?.maxVariants ?? 1;
      if (this.keep(entry, maxVariants)) this.promotions += 1;
    }
    return entry;
  }
}

/** The entries of a route: nearly always all of them, without a copy. */
function ofRoute(entries: readonly StoredEntry[], route: string): readonly StoredEntry[] {
  return entries.every(({ head }) => head.route === route)
    ? entries
    : entries.filter(({ head }) => head.route === route);
}

const NONE_ON_DISK: readonly DiskEntry[] = [];

const CONTENT_LENGTH: ReadonlySet<string> = new Set(['content-length']);

export function isSameVariant(a: EntryHead, b: EntryHead): boolean {
  return areSameVariant(a.meta, b.meta);
}

function readWhole(disk: DiskTier, head: EntryHead): Uint8Array | null {
  const content = Buffer.allocUnsafeSlow(head.sizeBytes);
  for (let position = 0; position < head.sizeBytes;) {
    const bytes = disk.read(head, position);
    if (bytes === null) return null;
    content.set(bytes, position);
    position += bytes.byteLength;
  }
  return content;
}
