/** Whether a request's content arrives fast enough. A client may be slow but must be steady. */
export interface ContentProgress {
  /** Content received since the last check, and the time since then. */
  readonly bytes: number;
  readonly elapsedMs: number;
  /** The content was held back meanwhile, because its reader was slower than the client. */
  readonly wasHeldBack: boolean;
  readonly leastBytesPerSecond: number;
}

/** `too-slow`: the rate is below the minimum, or nothing arrived. */
export function decideProgress(progress: ContentProgress): 'goes-on' | 'too-slow' {
  const { bytes, elapsedMs, wasHeldBack, leastBytesPerSecond } = progress;
  if (wasHeldBack) return 'goes-on';
  const leastBytes = Math.max(1, (leastBytesPerSecond * elapsedMs) / 1_000);
  return bytes < leastBytes ? 'too-slow' : 'goes-on';
}
