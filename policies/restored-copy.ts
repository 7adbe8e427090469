/**
 * What of earlier runs is believed at a start. A state that was put back from a copy has forgotten what was invalidated and
 * delivered after the copy was taken, and says nothing of that itself: only its files show it.
 */

/** Files as the file system knows them: a copy is another file, though all of its content is the same. */
export interface FilePlaces {
  /** Device and inode of the state's file. */
  readonly state: string;
  /** Of a file that Weir wrote once, with the time of its last change, which no program can set; null: it is not there. */
  readonly marker: string | null;
  /**
   * Of a symbolic link, with the time when it was made: programs that copy make a link anew, and those that change owners,
   * modes or hard links do not. Null or absent: there is none, or the file system has no links.
   */
  readonly link?: string | null;
  /** Of the cache's file; null: there is none. */
  readonly cache: string | null;
}

export type Distrust =
  | { readonly kind: 'believed' }
  /** Nothing that was stored is fresh until the origin has confirmed it. */
  | {
      readonly kind: 'distrusted';
      readonly why: 'asked' | 'state-copied' | 'marker-changed' | 'cache-copied' | 'clock-set-back';
      /** Writes that wait may have been delivered since. */
      readonly writesToo: boolean;
    };

export interface DistrustQuestion {
  /** An operator says that it was restored. */
  readonly isAsked: boolean;
  /** As the state has it; null: it was never written down. */
  readonly written: FilePlaces | null;
  readonly found: FilePlaces;
  /** The last time of earlier runs that is known, and the clock's now. */
  readonly lastTimeMs: number;
  readonly nowMs: number;
}

function isCopy(written: FilePlaces, found: FilePlaces): boolean {
  if (written.state !== found.state || found.marker === null) return true;
  const link = written.link ?? null;
  return link === null ? written.marker !== found.marker : link !== found.link;
}

/** A step of less is that of a clock that is kept right, and makes what is stored younger by no more. */
const SMALL_STEP_MS = 1_000;

export function decideDistrust(question: DistrustQuestion): Distrust {
  const { isAsked, written, found, lastTimeMs, nowMs } = question;
  if (isAsked) return { kind: 'distrusted', why: 'asked', writesToo: true };
  if (written !== null && isCopy(written, found)) {
    return { kind: 'distrusted', why: 'state-copied', writesToo: true };
  }
  // A `chown -R`, or content written into the files that are there. Revalidating is cheap; stopping every write that waits,
  // at each start of a container whose volume gets its owner set, is not.
  if (written !== null && written.marker !== found.marker) {
    return { kind: 'distrusted', why: 'marker-changed', writesToo: false };
  }
  // Whoever deletes the cache takes nothing out of it that could be believed.
  if (written !== null && written.cache !== null && found.cache !== null && written.cache !== found.cache) {
    return { kind: 'distrusted', why: 'cache-copied', writesToo: false };
  }
  if (nowMs < lastTimeMs - SMALL_STEP_MS) {
    return { kind: 'distrusted', why: 'clock-set-back', writesToo: false };
  }
  return { kind: 'believed' };
}
