/** Whether a request's content still comes fast enough: a steady client may be slow, one that holds a place may not. */
export interface ContentProgress {
  /** Content that came since the last look, and how long ago that was. */
  readonly bytes: number;
  readonly elapsedMs: number;
  /** The content was held back meanwhile, because whoever takes it was slower than the client. */
  readonly wasHeldBack: boolean;
  readonly leastBytesPerSecond: number;
}

/** Nothing at all is too slow, whatever the rate. */
export function decideProgress(progress: ContentProgress): 'goes-on' | 'too-slow' {
  const { bytes, elapsedMs, wasHeldBack, leastBytesPerSecond } = progress;
  if (wasHeldBack) return 'goes-on';
  const leastBytes = Math.max(1, (leastBytesPerSecond * elapsedMs) / 1_000);
  return bytes < leastBytes ? 'too-slow' : 'goes-on';
}
