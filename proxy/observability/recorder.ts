import type { Outcome } from './outcome.ts';

/** Counts requests. Called once for each, on the hit path too: adds to a few cells and allocates nothing. */
export interface Recorder {
  /** `route` is the route's name, or empty if no route matched. */
  request(
    route: string,
    outcome: Outcome,
    reason: string,
    status: number,
    durationMs: number,
    contentBytes: number,
  ): void;
  /** The time from the request to the origin until its response began. */
  originHead(route: string, durationMs: number): void;
}
