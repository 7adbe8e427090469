import type { Admission, ThroughEnd, ThroughRequest, ThroughSettled } from './through-desk.ts';

/** What a worker asks the coordinator about writes. */
export interface WriteDesk {
  admitThrough(request: ThroughRequest): Promise<Admission>;
  abandonThrough(ticket: number): void;
  settleThrough(end: ThroughEnd): Promise<ThroughSettled>;
}
