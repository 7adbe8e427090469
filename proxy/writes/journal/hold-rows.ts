import { ALL_TAG } from '../../../policies/tags.ts';
import { bytesOfHashes, hashesOfBytes, type TagHasher, type TagHashes } from '../../fence/tag-hash.ts';
import type { StateStore, StateTable } from '../../state/state-store.ts';
import { QUEUE_ID_BYTES, type OrderQueueId } from './order-queues.ts';
import { JournalTables, numberKey } from './tables.ts';

/** A hold on disk: its tags as the fence hashes them, and why they are held. */
export type HoldRow = QueueHold &
  (
    | { readonly kind: 'waiting' }
    /** The origin is being asked. Found at a start, the outcome is unknown. */
    | { readonly kind: 'running'; readonly maxProcessingMs: number }
    | TimedHold
  );

export interface QueueHold {
  readonly queue: OrderQueueId;
  readonly tags: TagHashes;
  /** The client whose slot it takes, as `holdClientOf` has it; absent: none, because the journal bounds it. */
  readonly client?: string;
}

/** A hold that outlasts its write, for a time. */
export interface TimedHold {
  readonly kind: 'timed';
  /** By `DurableClock`. */
  readonly untilMs: number;
  readonly maxMs: number;
  /** An attempt may still be carried out, so nothing else of the queue is delivered. */
  readonly blocks: boolean;
  /** The number of the delivered write whose content pending readers still get; 0: none. */
  readonly shown: number;
}

/** The hold of a write that leaves its queue while an attempt of it may still be carried out; null: none may. */
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
      throw new Error('a hold of an unknown kind');
  }
}

/** The key of the hold of a write of the journal. */
export function waitingHoldKey(number: number): Buffer {
  return Buffer.concat([WAITING, numberKey(number)]);
}

/** The key of any other hold; `id` is unique over all runs. */
export function otherHoldKey(id: number): Buffer {
  return Buffer.concat([OTHER, numberKey(id)]);
}

const OTHER = Buffer.from('h');
const WAITING = Buffer.from('w');
export const OTHER_HOLDS = { from: OTHER, to: Buffer.from('i') };

/**
 * Within a change of the state: hashes the tags of all holds by the key that the state has got. A row has hashes alone:
 * the names of a journal write's tags are in its record; any other hold becomes one of everything while it lasts.
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
  // A range that is written while it is read may show a row twice.
  const rows = Array.from(holds.range());
  for (const { key, value } of rows) {
    writeHoldRow(holds, key, { ...readHoldRow(value), tags: tagsOf(key) });
  }
}
