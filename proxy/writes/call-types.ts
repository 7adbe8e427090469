import type { AcceptedWrite, OfferedRequest, PendingRequest, WaitedResponse } from './journal-client.ts';
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

/** What a worker asks of the coordinator about writes. */
export type WriteCalls = {
  admitThrough(request: ThroughRequest): Admission;
  abandonThrough(argument: { readonly ticket: number }): void;
  settleThrough(end: ThroughEnd): ThroughSettled;
  takeSlot(write: UnheldWrite): SlotAdmission;
  giveSlot(argument: { readonly slot: number }): void;
  holdUnknown(write: UnknownWrite): void;
  acceptWrite(request: OfferedRequest): AcceptedWrite;
  originAnswer(argument: { readonly ticket: number }): WaitedResponse;
  readPending(request: PendingRequest): Pending;
};
