import type { RecorderPart } from './shared-recorder.ts';

/** A worker's calls to the coordinator's counters. */
export type RecorderCalls = {
  /** Hands over a buffer into which the worker counts, once each. */
  recorded(part: RecorderPart): void;
};
