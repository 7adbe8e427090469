import { ALL_TAG } from '../../../policies/tags.ts';
import { bytesOfHashes, hashesOfBytes, type TagHasher, type TagHashes } from '../../fence/tag-hash.ts';
import type { StateStore, StateTable } from '../../state/state-store.ts';
import { QUEUE_ID_BYTES, type OrderQueueId } from './order-queues.ts';
import { JournalTables, numberKey } from './tables.ts';

/** A hold on disk: its tags as the fence hashes them, and why they are held. */
export type HoldRow = QueueHold &
  (
    | { readonly kind: 'waiting' }
    /** The write was sent to the origin. If a start finds this row, the outcome is unknown. */
    | { readonly kind: 'running'; readonly maxProcessingMs: number }
    | TimedHold
  );

export interface QueueHold {
  readonly queue: OrderQueueId;
  readonly tags: TagHashes;
  /** The client whose slot the hold takes (`holdClientOf`); absent: it takes none, because the journal bounds it. */
  readonly client?: string;
}

/** A hold that outlasts its write for a bounded time. */
export interface TimedHold {
  readonly kind: 'timed';
  /** The end, by `DurableClock`. */
  readonly untilMs: number;
  readonly maxMs: number;
  /** True: the origin may still process an attempt, so no other write of the queue is sent. */
  readonly blocks: boolean;
  /** The number of the delivered write whose content pending readers still get; 0: none. */
  readonly shown: number;
}

/** The hold of a write that leaves its queue while the origin may still process an attempt; null: it can't any more. */
export function timedHoldOf(
  { unknownUntilMs }: { readonly unknownUntilMs: number },
  nowMs: number,
): TimedHold | null {
  const maxMs = unknownUntilMs - nowMs;
  if (maxMs <= 0) return null;
  return { kind: 'timed', untilMs: unknownUntilMs, maxMs, blocks: true, shown: 0 };
}

const KINDS = ['waiting', 'running', 'timed'] as const;
const BLOCKS = 1;
const HAS_CLIENT = 2;
const CLIENT_BYTES = 8;
const HEAD_BYTES = 2 + 8 + 8 + 8 + QUEUE_ID_BYTES;

export function writeHoldRow(table: StateTable, key: Buffer, row: HoldRow): void {
  const client = Buffer.from(row.client ?? '', 'hex');
  const value = Buffer.alloc(HEAD_BYTES + client.length + row.tags.byteLength);
  value[0] = KINDS.indexOf(row.kind);
  if (row.kind === 'timed') {
    value[1] = row.blocks ? BLOCKS : 0;
    value.writeDoubleBE(row.untilMs, 2);
    value.writeDoubleBE(row.maxMs, 10);
    value.writeDoubleBE(row.shown, 18);
  } else if (row.kind === 'running') value.writeDoubleBE(row.maxProcessingMs, 10);
  value.write(row.queue, 26, 'hex');
  if (client.length > 0) value[1]! |= HAS_CLIENT;
  client.copy(value, HEAD_BYTES);
  bytesOfHashes(row.tags).copy(value, HEAD_BYTES + client.length);
  table.put(key, value);
}

export function readHoldRow(value: Buffer): HoldRow {
  const queue = value.toString('hex', 26, HEAD_BYTES);
  const tagsAt = HEAD_BYTES + ((value[1]! & HAS_CLIENT) === 0 ? 0 : CLIENT_BYTES);
  const tags = hashesOfBytes(value.subarray(tagsAt));
  const whose = tagsAt === HEAD_BYTES ? {} : { client: value.toString('hex', HEAD_BYTES, tagsAt) };
  const kind = KINDS[value[0]!];
  switch (kind) {
    case 'waiting':
      return { kind, queue, tags, ...whose };
    case 'running':
      return { kind, queue, tags, ...whose, maxProcessingMs: value.readDoubleBE(10) };
    case 'timed':
      return {
        kind,
        queue,
        tags,
        ...whose,
        blocks: (value[1]! & BLOCKS) !== 0,
        untilMs: value.readDoubleBE(2),
        maxMs: value.readDoubleBE(10),
        shown: value.readDoubleBE(18),
      };
    default:
      throw new Error('a hold in the state has an unknown kind');
  }
}

/** The row key for the hold of a waiting or dead write of the journal. */
export function waitingHoldKey(number: number): Buffer {
  return Buffer.concat([WAITING, numberKey(number)]);
}

/** The row key for any other hold. `id` is unique over all runs. */
export function otherHoldKey(id: number): Buffer {
  return Buffer.concat([OTHER, numberKey(id)]);
}

const OTHER = Buffer.from('h');
const WAITING = Buffer.from('w');
export const OTHER_HOLDS = { from: OTHER, to: Buffer.from('i') };

/**
 * Hashes the tags of all holds with the state's new key; to be called within a change of the state. A row contains only
 * hashes. The tag names of a journal's write are in its record; any other hold becomes a hold of every tag.
 */
export function rekeyHolds(state: StateStore, hasher: TagHasher): void {
  const holds = state.table('holds');
  const tables = new JournalTables(state);
  const everything = hasher.hash([ALL_TAG]);
  const tagsOf = (key: Buffer): TagHashes => {
    const number = Number(key.readBigUInt64BE(1));
    if (!key.equals(waitingHoldKey(number))) return everything;
    const read = tables.record('waiting', number) ?? tables.record('dead', number);
    return read?.kind === 'record' ? hasher.hash(read.record.tags) : everything;
  };
  // A range may return a row twice if it is written while it is read.
  const rows = Array.from(holds.range());
  for (const { key, value } of rows) {
    writeHoldRow(holds, key, { ...readHoldRow(value), tags: tagsOf(key) });
  }
}
