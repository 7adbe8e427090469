/**
 * Decides which data of earlier runs is trusted at a start. A state restored from a copy lacks the invalidations and
 * deliveries since the copy was made. Only its files, not its content, show that it was restored.
 */

/** The identity of files in the file system: a copy is another file, even with the same content. */
export interface FilePlaces {
  /** Device and inode of the state's file. */
  readonly state: string;
  /**
   * Device and inode of a file that Weir wrote once, with its change time, which no program can set; null: it does
   * not exist.
   */
  readonly marker: string | null;
  /**
   * Device and inode of a symbolic link, with its creation time. Copying programs create a new link; changes of
   * owner, mode or hard links do not. Null or absent: there is none, or the file system has no links.
   */
  readonly link?: string | null;
  /** Device and inode of the cache's file; null: there is none. */
  readonly cache: string | null;
}

export type Distrust =
  | { readonly kind: 'believed' }
  /** No stored entry is fresh until the origin has confirmed it. */
  | {
      readonly kind: 'distrusted';
      readonly why: 'asked' | 'state-copied' | 'marker-changed' | 'cache-copied' | 'clock-set-back';
      /** Waiting writes may have been delivered since the copy was made. */
      readonly writesToo: boolean;
    };

export interface DistrustQuestion {
  /** An operator has declared the state restored. */
  readonly isAsked: boolean;
  /** As recorded in the state; null: never recorded. */
  readonly written: FilePlaces | null;
  readonly found: FilePlaces;
  /** The latest known time of earlier runs, and the current time, both by the wall clock. */
  readonly lastTimeMs: number;
  readonly nowMs: number;
}

function isCopy(written: FilePlaces, found: FilePlaces): boolean {
  if (written.state !== found.state || found.marker === null) return true;
  const link = written.link ?? null;
  return link === null ? written.marker !== found.marker : link !== found.link;
}

/** Smaller steps are ordinary clock corrections; they make entries younger by no more than this. */
const SMALL_STEP_MS = 1_000;

export function decideDistrust(question: DistrustQuestion): Distrust {
  const { isAsked, written, found, lastTimeMs, nowMs } = question;
  if (isAsked) return { kind: 'distrusted', why: 'asked', writesToo: true };
  if (written !== null && isCopy(written, found)) {
    return { kind: 'distrusted', why: 'state-copied', writesToo: true };
  }
  // The cause is a `chown -R`, or content written into the existing files. Revalidating is cheap. Withholding every
  // waiting write at each start of a container whose volume gets its owner set is not.
  if (written !== null && written.marker !== found.marker) {
    return { kind: 'distrusted', why: 'marker-changed', writesToo: false };
  }
  // A deleted cache leaves nothing to distrust.
  if (written !== null && written.cache !== null && found.cache !== null && written.cache !== found.cache) {
    return { kind: 'distrusted', why: 'cache-copied', writesToo: false };
  }
  if (nowMs < lastTimeMs - SMALL_STEP_MS) {
    return { kind: 'distrusted', why: 'clock-set-back', writesToo: false };
  }
  return { kind: 'believed' };
}
