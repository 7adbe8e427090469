import type { Outcome } from './outcome.ts';

/** Counts requests. Called once for each, on the hit path too: adds to a few cells and allocates nothing. */
export interface Recorder {
  /** `route` is the route's name, empty where none was found. */
  request(
    route: string,
    outcome: Outcome,
    reason: string,
    status: number,
    durationMs: number,
    contentBytes: number,
  ): void;
  /** The origin's answer began this long after it was asked. */
  originHead(route: string, durationMs: number): void;
}
