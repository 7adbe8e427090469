import { setImmediate as nextTurn } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { StoredEntry } from './entry.ts';

/** The memory tier of one worker. Variants of a key are evicted together. */
export interface MemoryTier {
  /** The key's entries, newest first. The array must not be kept or changed. Counts as a use. */
  get(key: string): readonly StoredEntry[];
  /** Whether an entry with content of this size may be stored. */
  admits(contentBytes: number): boolean;
  /**
   * Stores an entry in place of those of its key for which `replaced` is true; beyond `maxVariants` the oldest are
   * removed. False: the entry is too large or has no content; those that it replaces are removed all the same.
   */
  put(entry: StoredEntry, maxVariants: number, replaced: (other: StoredEntry) => boolean): boolean;
  /** Replaces the entry with the same id; false where there is none. */
  update(entry: StoredEntry): boolean;
  remove(key: string, id: string): void;
  /**
   * Reserves room for content that is still coming in, which evicts entries. `onLost` is called when the reservation
   * itself is evicted.
   */
  reserve(onLost: () => void): Reservation;
  /** The entries that are here now, in slices; does not count as a use. Entries removed meanwhile may be left out. */
  scan(): AsyncGenerator<StoredEntry, void, undefined>;
  readonly stats: MemoryStats;
}

export interface Reservation {
  /** Sets the reserved bytes. False, and unchanged, where one entry may not have as much. */
  grow(bytes: number): boolean;
  release(): void;
}

export interface MemoryStats {
  readonly bytes: number;
  readonly entries: number;
  readonly evictions: number;
  readonly variantEvictions: number;
}

const NONE: readonly StoredEntry[] = [];
/** Keys that a scan reads in one turn of the loop. */
const SCAN_SLICE = 1_000;

/** `largestShare`: the most of the tier that one entry may take, so that it does not evict all others. */
export function createMemoryTier(maxBytes: number, largestShare: number): MemoryTier {
  return maxBytes > 0 ? new LruMemoryTier(maxBytes, Math.floor(maxBytes * largestShare)) : new NoMemoryTier();
}

class LruMemoryTier implements MemoryTier {
  readonly #cache: LRUCache<string, readonly StoredEntry[]>;
  readonly #largestBytes: number;
  readonly #lost = new Map<string, () => void>();
  #reservations = 0;
  #entries = 0;
  #evictions = 0;
  #variantEvictions = 0;

  constructor(maxBytes: number, largestBytes: number) {
    this.#largestBytes = largestBytes;
    this.#cache = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: (entries) => entries.reduce((sum, entry) => sum + entry.memoryBytes, 0),
      // After the change, not within it: `onLost` may change the tier in turn.
      disposeAfter: (entries, key, reason) => {
        if (reason === 'evict') this.#lost.get(key)?.();
        this.#entries -= entries.length;
        if (reason === 'evict') this.#evictions += entries.length;
      },
    });
  }

  get(key: string): readonly StoredEntry[] {
    return this.#cache.get(key) ?? NONE;
  }

  admits(contentBytes: number): boolean {
    return contentBytes <= this.#largestBytes;
  }

  put(entry: StoredEntry, maxVariants: number, replaced: (other: StoredEntry) => boolean): boolean {
    const { key } = entry.head;
    const others = (this.#cache.peek(key) ?? NONE).filter((other) => !replaced(other));
    if (entry.content === null || entry.memoryBytes > this.#largestBytes) {
      this.#replace(key, others);
      return false;
    }
    const kept = others.slice(0, maxVariants - 1);
    this.#variantEvictions += others.length - kept.length;
    this.#set(key, [entry, ...kept]);
    return true;
  }

  update(entry: StoredEntry): boolean {
    const { key, id } = entry.head;
    const entries = this.#cache.peek(key) ?? NONE;
    if (!entries.some((other) => other.head.id === id)) return false;
    this.#set(
      key,
      entries.map((other) => (other.head.id === id ? entry : other)),
    );
    return true;
  }

  remove(key: string, id: string): void {
    const entries = this.#cache.peek(key) ?? NONE;
    const kept = entries.filter((entry) => entry.head.id !== id);
    this.#replace(key, kept);
  }

  reserve(onLost: () => void): Reservation {
    this.#reservations += 1;
    // A request's key begins with the name of its origin, so none begins like this.
    const key = `\n${this.#reservations}`;
    this.#lost.set(key, onLost);
    return {
      grow: (bytes) => {
        if (bytes > this.#largestBytes) return false;
        if (this.#lost.has(key) && bytes > 0) this.#cache.set(key, NONE, { size: bytes });
        return true;
      },
      release: () => {
        this.#lost.delete(key);
        this.#cache.delete(key);
      },
    };
  }

  async *scan(): AsyncGenerator<StoredEntry, void, undefined> {
    const keys = [...this.#cache.keys()];
    for (let at = 0; at < keys.length; at += SCAN_SLICE) {
      for (const key of keys.slice(at, at + SCAN_SLICE)) yield* this.#cache.peek(key) ?? NONE;
      await nextTurn();
    }
  }

  get stats(): MemoryStats {
    return {
      bytes: this.#cache.calculatedSize,
      entries: this.#entries,
      evictions: this.#evictions,
      variantEvictions: this.#variantEvictions,
    };
  }

  /** Sets a key's entries to those that are kept. */
  #replace(key: string, kept: readonly StoredEntry[]): void {
    if (kept.length === (this.#cache.peek(key) ?? NONE).length) return;
    if (kept.length === 0) this.#cache.delete(key);
    else this.#set(key, kept);
  }

  #set(key: string, entries: readonly StoredEntry[]): void {
    this.#entries += entries.length;
    this.#cache.set(key, entries);
    // Together they may be larger than the tier, which then takes none of them.
    if (!this.#cache.has(key)) this.#entries -= entries.length;
  }
}

class NoMemoryTier implements MemoryTier {
  readonly stats: MemoryStats = { bytes: 0, entries: 0, evictions: 0, variantEvictions: 0 };

  get(): readonly StoredEntry[] {
    return NONE;
  }

  admits(): boolean {
    return false;
  }

  put(): boolean {
    return false;
  }

  update(): boolean {
    return false;
  }

  remove(): void {}

  async *scan(): AsyncGenerator<StoredEntry, void, undefined> {}

  reserve(): Reservation {
    return { grow: () => false, release: () => {} };
  }
}
