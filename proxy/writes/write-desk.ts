import type { OfferedWrite } from './journal.ts';
import type { WriteLine } from './line.ts';
import type { OriginAnswer } from './origin-answer.ts';
import type { Pending } from './reading.ts';
import type { Admission, ThroughEnd, ThroughRequest, ThroughSettled } from './through-desk.ts';

/** What a worker asks the coordinator about writes. */
export interface WriteDesk {
  admitThrough(request: ThroughRequest): Promise<Admission>;
  abandonThrough(ticket: number): void;
  settleThrough(end: ThroughEnd): Promise<ThroughSettled>;
  acceptWrite(request: OfferedRequest): Promise<AcceptedWrite>;
  readPending(request: PendingRequest): Promise<Pending>;
}

export interface OfferedRequest extends Omit<OfferedWrite, 'line' | 'origin' | 'target'> {
  readonly line: WriteLine;
  /** How long the client would wait for the origin's own answer; 0: not at all. */
  readonly waitMs: number;
}

export type AcceptedWrite =
  | {
      readonly kind: 'accepted';
      readonly id: string;
      /** The origin's own, where it came in time and is not too long. */
      readonly answer: OriginAnswer | null;
    }
  | { readonly kind: 'mismatch' }
  | { readonly kind: 'full' }
  | { readonly kind: 'not-durable' };

export interface PendingRequest {
  readonly line: WriteLine;
  readonly mode: 'wait' | 'pending';
  readonly waitMs: number;
}
