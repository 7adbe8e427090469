import type { OfferedWrite } from './journal/appender.ts';
import type { OrderQueueKey } from './journal/order-queues.ts';
import type { WriteProgress } from './journal/journal.ts';
import type { OriginResponse } from './journal/record.ts';
import type { Pending } from './journal/pending-writes.ts';
import type {
  Admission,
  SlotAdmission,
  ThroughEnd,
  ThroughRequest,
  ThroughSettled,
  UnheldWrite,
  UnknownWrite,
} from './through/gate.ts';

/** A worker's access to writes. Each method calls the coordinator. */
export interface JournalClient {
  admitThrough(request: ThroughRequest): Promise<Admission>;
  abandonThrough(ticket: number): void;
  settleThrough(end: ThroughEnd): Promise<ThroughSettled>;
  /** `write.client` is what `holdClientOf` returns. */
  takeSlot(write: UnheldWrite): Promise<SlotAdmission>;
  giveSlot(slot: number): void;
  holdUnknown(write: UnknownWrite): Promise<void>;
  acceptWrite(request: OfferedRequest): Promise<AcceptedWrite>;
  /** Must be called once for each ticket. */
  originResponse(ticket: number): Promise<WaitedResponse>;
  readPending(request: PendingRequest): Promise<Pending>;
}

/** The same methods as calls between threads. */
export type WriteCalls = {
  admitThrough(request: ThroughRequest): Admission;
  abandonThrough(argument: { readonly ticket: number }): void;
  settleThrough(end: ThroughEnd): ThroughSettled;
  takeSlot(write: UnheldWrite): SlotAdmission;
  giveSlot(argument: { readonly slot: number }): void;
  holdUnknown(write: UnknownWrite): void;
  acceptWrite(request: OfferedRequest): AcceptedWrite;
  originResponse(argument: { readonly ticket: number }): WaitedResponse;
  readPending(request: PendingRequest): Pending;
};

export interface OfferedRequest extends Omit<OfferedWrite, 'queue' | 'origin' | 'target'> {
  readonly queue: OrderQueueKey;
  /** How long the client waits for the origin's response; 0: not at all. */
  readonly waitMs: number;
}

/** The result for a client that waits for the origin's response. */
export type WaitedResponse =
  | { readonly kind: 'response'; readonly response: OriginResponse }
  /** The response did not arrive in time, will not arrive, or is too large to be kept. */
  | { readonly kind: 'none'; readonly progress: WriteProgress };

export type AcceptedWrite =
  | {
      readonly kind: 'accepted';
      readonly id: string;
      readonly progress: WriteProgress;
      /** The ticket for `originResponse`; null: the client does not wait for the response. */
      readonly ticket: number | null;
    }
  | { readonly kind: 'mismatch' }
  | { readonly kind: 'full' }
  | { readonly kind: 'not-durable' };

export interface PendingRequest {
  /** The queues of two URLs: the one that the client requested, and the one that Weir would request from the origin. */
  readonly queues: readonly OrderQueueKey[];
  readonly mode: 'wait' | 'pending';
  readonly waitMs: number;
}
