/**
 * Checks LMDB's file before LMDB opens it. LMDB trusts its file: a page that was overwritten while Weir was down would
 * end the process instead of failing one request. The check reads every page of the trees. It verifies that the trees
 * are complete, that no page is used twice or is both free and in use, and that all pages are within the file. The
 * content of records has its own checksums. The layout is that of the LMDB in the package lmdb (data version 2,
 * `dependencies/lmdb/libraries/liblmdb/mdb.c`). Only this file depends on it.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** The page size in bytes of both LMDB files, the state and the cache. */
export const PAGE_BYTES = 4096;
const SLICE_MS = 3;
const HEADER_BYTES = 24;
const PAGE_ROOM = PAGE_BYTES - HEADER_BYTES;
const MAGIC = 0xbeef_c0de;
const DATA_VERSION = 2;
/** The offsets of meta pages: two that are written alternately, and one for the last synced transaction. */
const META_OFFSETS = [0, PAGE_BYTES, PAGE_BYTES / 2] as const;
const FIRST_PAGE = 2;
const NO_ROOT = 0xffff_ffff_ffff_ffffn;

const PAGE_KIND = { branch: 0x01, leaf: 0x02, overflow: 0x04, meta: 0x08 } as const;
const NODE_BYTES = 8;
const NODE_FLAG = { overflow: 0x01, table: 0x02 } as const;
const OVERFLOW_REFERENCE_BYTES = 24;
const TABLE_BYTES = 48;
const DEEPEST = 32;
/**
 * How long the heads of long records are checked. They are spread over the file, so a cold disk would read nearly all of
 * it. After this time only the trees are checked.
 */
const HEADS_MS = 2_000;

/**
 * Resolves with a message to the operator that says what is damaged; null: nothing. Blocks the event loop for a few
 * milliseconds at a time. After `forMs` milliseconds it stops and trusts the rest. Rejects if the file can't be read.
 */
export async function checkDatabaseFile(
  file: string,
  forMs = Number.POSITIVE_INFINITY,
): Promise<string | null> {
  const descriptor = openSync(file, 'r');
  try {
    await new FileCheck(descriptor, performance.now() + forMs).run();
    return null;
  } catch (error) {
    if (error instanceof Damage) return error.message;
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

class Damage extends Error {}

interface TableHeader {
  readonly depth: number;
  readonly branchPages: number;
  readonly leafPages: number;
  readonly overflowPages: number;
  readonly entries: number;
  /** The root page; null: the table is empty. */
  readonly root: number | null;
}

interface Snapshot {
  readonly free: TableHeader;
  readonly main: TableHeader;
  readonly lastPage: number;
  readonly transaction: bigint;
}

/** A page to read, and the bounds of its keys. */
interface Visit {
  readonly page: number;
  readonly depth: number;
  readonly from: Buffer | null;
  readonly to: Buffer | null;
}

interface Counts {
  branchPages: number;
  leafPages: number;
  overflowPages: number;
  entries: number;
}

type Order = (a: Buffer, b: Buffer) => number;
type OnRecord = (value: Buffer, flags: number) => void;

class FileCheck {
  readonly #descriptor: number;
  readonly #fileBytes: number;
  #lastPage = 0;
  /** One bit for each page; 1: the page is in use. */
  #used = new Uint8Array(0);
  readonly #untilMs: number;
  readonly #headsUntilMs: number;
  #sliceEndsAtMs = performance.now() + SLICE_MS;

  constructor(descriptor: number, untilMs: number) {
    this.#descriptor = descriptor;
    this.#untilMs = untilMs;
    this.#headsUntilMs = Math.min(untilMs, performance.now() + HEADS_MS);
    this.#fileBytes = fstatSync(descriptor).size;
  }

  async run(): Promise<void> {
    const [even, odd, synced] = META_OFFSETS.map((offset) => this.#meta(offset));
    const latest = even!.transaction >= odd!.transaction ? even! : odd!;
    await this.#snapshot(latest);
    // LMDB returns to this snapshot if the machine stopped before the latest transaction was synced.
    if (synced!.transaction > 0n && synced!.transaction !== latest.transaction) await this.#snapshot(synced!);
  }

  #meta(offset: number): Snapshot {
    const bytes = this.#read(offset, HEADER_BYTES + 24 + 2 * TABLE_BYTES + 16);
    const meta = bytes.subarray(HEADER_BYTES);
    const isSynced = offset === META_OFFSETS[2];
    if (!isSynced) this.#expectMeta(bytes, meta);
    const lastPage = pageNumber(meta.readBigUInt64LE(24 + 2 * TABLE_BYTES));
    return {
      free: tableHeader(meta.subarray(24)),
      main: tableHeader(meta.subarray(24 + TABLE_BYTES)),
      lastPage,
      transaction: meta.readBigUInt64LE(24 + 2 * TABLE_BYTES + 8),
    };
  }

  #expectMeta(page: Buffer, meta: Buffer): void {
    if ((page.readUInt16LE(18) & PAGE_KIND.meta) === 0) throw new Damage('its first pages are damaged');
    if (meta.readUInt32LE(0) !== MAGIC) throw new Damage('it is not an LMDB file');
    if ((meta.readUInt32LE(4) & 0xffff) !== DATA_VERSION)
      throw new Damage('it has another version of the LMDB format');
    if (meta.readUInt32LE(24) !== PAGE_BYTES) throw new Damage('it has another page size');
  }

  async #snapshot({ free, main, lastPage }: Snapshot): Promise<void> {
    this.#lastPage = lastPage;
    if (lastPage > 2 ** 31) throw new Damage('its first pages are damaged');
    this.#used = new Uint8Array((lastPage >> 3) + 1);
    const tables: TableHeader[] = [];
    await this.#tree(main, Buffer.compare, (value, flags) => {
      if (flags !== NODE_FLAG.table || value.length !== TABLE_BYTES) throw new Damage('a table is damaged');
      tables.push(tableHeader(value));
    });
    for (const table of tables) await this.#tree(table, Buffer.compare, passOver);
    if (this.#isOver) return;
    const lists: Buffer[] = [];
    await this.#tree(free, compareIntegers, (value) => void lists.push(Buffer.from(value)));
    for (const list of lists) this.#freeList(list);
  }

  async #tree(table: TableHeader, order: Order, onRecord: OnRecord): Promise<void> {
    const counts = { branchPages: 0, leafPages: 0, overflowPages: 0, entries: 0 };
    const pending: Visit[] = [];
    if (table.root !== null) pending.push({ page: table.root, depth: 1, from: null, to: null });
    for (let context = pending.pop(); context !== undefined; context = pending.pop()) {
      if (this.#isOver) return;
      if (context.depth > Math.min(table.depth, DEEPEST)) throw new Damage('a tree is damaged');
      this.#use(context.page, 1);
      const page = this.#page(context.page);
      const isLeaf = page.kind === PAGE_KIND.leaf;
      if (isLeaf !== (context.depth === table.depth)) throw new Damage('a tree is damaged');
      expectKeys(page.nodes, context, order, isLeaf);
      if (isLeaf) this.#leaf(page.nodes, counts, onRecord);
      else pending.push(...children(page.nodes, context));
      counts[isLeaf ? 'leafPages' : 'branchPages'] += 1;
      await this.#breathe();
    }
    for (const name of ['branchPages', 'leafPages', 'overflowPages', 'entries'] as const) {
      if (counts[name] !== table[name]) throw new Damage('the counts of a tree are not those of its header');
    }
  }

  get #isOver(): boolean {
    return performance.now() > this.#untilMs;
  }

  #leaf(nodes: readonly Node[], counts: Counts, onRecord: OnRecord): void {
    counts.entries += nodes.length;
    for (const node of nodes) {
      if (node.flags === NODE_FLAG.overflow) counts.overflowPages += this.#longRecord(node, onRecord);
      else onRecord(node.value, node.flags);
    }
  }

  /** Checks a record that has a run of overflow pages, and returns the number of pages. */
  #longRecord({ value: reference, sizeBytes }: Node, onRecord: OnRecord): number {
    const first = pageNumber(reference.readBigUInt64LE(0));
    // The run is longer than needed if the record replaced a longer one in the same transaction.
    const pages = pageNumber(reference.readBigUInt64LE(16));
    if (pages * PAGE_BYTES < HEADER_BYTES + sizeBytes) throw new Damage('a record is damaged');
    this.#use(first, pages);
    if (onRecord === passOver && performance.now() > this.#headsUntilMs) return pages;
    const run = this.#read(first * PAGE_BYTES, HEADER_BYTES + (onRecord === passOver ? 0 : sizeBytes));
    const isHead = run.readBigUInt64LE(0) === BigInt(first) && run.readUInt32LE(20) === pages;
    if (!isHead) throw new Damage('the head of a long record is damaged');
    onRecord(run.subarray(HEADER_BYTES), 0);
    return pages;
  }

  /** Checks a list of free pages: a count, then page numbers. A run is its negated length, then its first page. */
  #freeList(list: Buffer): void {
    const count = list.length < 8 ? 0 : Number(list.readBigUInt64LE(0));
    if (list.length < 8 || count * 8 + 8 > list.length) throw new Damage('the list of free pages is damaged');
    for (let i = 1; i <= count; i += 1) {
      const number = list.readBigInt64LE(i * 8);
      // 0 marks an unused place.
      if (number === 0n) continue;
      if (number > 0n) this.#expectFree(number, 1n);
      else if (i === count) throw new Damage('the list of free pages is damaged');
      else this.#expectFree(list.readBigInt64LE(++i * 8), -number);
    }
  }

  #expectFree(first: bigint, pages: bigint): void {
    // The first page number of a run that was used up is 0.
    if (first === 0n) return;
    if (
      first < BigInt(FIRST_PAGE) ||
      pages > BigInt(this.#lastPage) ||
      first + pages - 1n > BigInt(this.#lastPage)
    ) {
      throw new Damage('the list of free pages is damaged');
    }
    for (let page = Number(first); page < Number(first + pages); page += 1) {
      if (this.#isUsed(page)) throw new Damage('a page is free and in use');
    }
  }

  #isUsed(page: number): boolean {
    return (this.#used[page >> 3]! & (1 << (page & 7))) !== 0;
  }

  #use(first: number, pages: number): void {
    const end = first + pages;
    if (first < FIRST_PAGE || end - 1 > this.#lastPage) throw new Damage('a page number is damaged');
    if (end * PAGE_BYTES > this.#fileBytes) throw new Damage('it was cut short');
    for (let page = first; page < end; page += 1) {
      if (this.#isUsed(page)) throw new Damage('a page is in use twice');
      this.#used[page >> 3]! |= 1 << (page & 7);
    }
  }

  #page(number: number): { kind: number; nodes: Node[] } {
    const page = this.#read(number * PAGE_BYTES, PAGE_BYTES);
    const kind = page.readUInt16LE(18);
    if (page.readBigUInt64LE(0) !== BigInt(number)) throw new Damage('a page is damaged');
    if (kind !== PAGE_KIND.leaf && kind !== PAGE_KIND.branch) throw new Damage('a page is damaged');
    return { kind, nodes: nodesOf(page.subarray(HEADER_BYTES), page, kind === PAGE_KIND.leaf) };
  }

  #read(offset: number, bytes: number): Buffer {
    const buffer = Buffer.alloc(bytes);
    if (readSync(this.#descriptor, buffer, 0, bytes, offset) !== bytes) throw new Damage('it was cut short');
    return buffer;
  }

  async #breathe(): Promise<void> {
    if (performance.now() < this.#sliceEndsAtMs) return;
    await nextTurn();
    this.#sliceEndsAtMs = performance.now() + SLICE_MS;
  }
}

interface Node {
  readonly key: Buffer;
  readonly flags: number;
  /** For a branch: the child's page number. */
  readonly child: number;
  /** For a leaf: the value, or the reference to its overflow pages. */
  readonly value: Buffer;
  readonly sizeBytes: number;
}

function nodesOf(body: Buffer, page: Buffer, isLeaf: boolean): Node[] {
  const lower = page.readUInt16LE(20);
  const upper = page.readUInt16LE(22);
  if (lower % 2 !== 0 || lower > upper || upper > PAGE_ROOM || lower === 0)
    throw new Damage('a page is damaged');
  return Array.from({ length: lower / 2 }, (_, i) => {
    const start = body.readUInt16LE(i * 2);
    if (start < upper || start + NODE_BYTES > PAGE_ROOM) throw new Damage('a page is damaged');
    return nodeAt(body, start, isLeaf);
  });
}

function nodeAt(body: Buffer, start: number, isLeaf: boolean): Node {
  const low = body.readUInt32LE(start);
  const flags = body.readUInt16LE(start + 4);
  const keyEnd = start + NODE_BYTES + body.readUInt16LE(start + 6);
  if (isLeaf && flags !== 0 && flags !== NODE_FLAG.overflow && flags !== NODE_FLAG.table) {
    throw new Damage('a record is damaged');
  }
  const valueBytes = isLeaf ? (flags === NODE_FLAG.overflow ? OVERFLOW_REFERENCE_BYTES : low) : 0;
  if (keyEnd + valueBytes > PAGE_ROOM) throw new Damage('a record is damaged');
  return {
    key: body.subarray(start + NODE_BYTES, keyEnd),
    flags,
    child: isLeaf ? 0 : low + flags * 2 ** 32,
    value: body.subarray(keyEnd, keyEnd + valueBytes),
    sizeBytes: isLeaf ? low : 0,
  };
}

/** Throws unless the keys are sorted and within the bounds. The first key of a branch page is unused. */
function expectKeys(nodes: readonly Node[], { from, to }: Visit, order: Order, isLeaf: boolean): void {
  const keys = nodes.slice(isLeaf ? 0 : 1).map((node) => node.key);
  const isSorted = keys.every((key, i) => key.length > 0 && (i === 0 || order(keys[i - 1]!, key) < 0));
  const isWithin =
    keys.length === 0 ||
    ((from === null || order(from, keys[0]!) <= 0) && (to === null || order(keys.at(-1)!, to) < 0));
  if (!isSorted || !isWithin) throw new Damage('the keys of a page are damaged');
}

function children(nodes: readonly Node[], { depth, from, to }: Visit): Visit[] {
  return nodes.map((node, i) => ({
    page: node.child,
    depth: depth + 1,
    from: i === 0 ? from : node.key,
    to: nodes[i + 1]?.key ?? to,
  }));
}

function tableHeader(bytes: Buffer): TableHeader {
  const root = bytes.readBigUInt64LE(40);
  return {
    depth: bytes.readUInt16LE(6),
    branchPages: pageNumber(bytes.readBigUInt64LE(8)),
    leafPages: pageNumber(bytes.readBigUInt64LE(16)),
    overflowPages: pageNumber(bytes.readBigUInt64LE(24)),
    entries: pageNumber(bytes.readBigUInt64LE(32)),
    root: root === NO_ROOT ? null : pageNumber(root),
  };
}

/** Converts to a double. A value beyond 2^53 loses precision but exceeds the file, so it is reported as damage. */
function pageNumber(value: bigint): number {
  return Number(value);
}

function compareIntegers(a: Buffer, b: Buffer): number {
  if (a.length !== 8 || b.length !== 8) throw new Damage('the list of free pages is damaged');
  const difference = a.readBigUInt64LE(0) - b.readBigUInt64LE(0);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** Accepts every record, for tables whose records have checksums. */
const passOver: OnRecord = (_value, flags) => {
  if (flags !== 0) throw new Damage('a record is damaged');
};
