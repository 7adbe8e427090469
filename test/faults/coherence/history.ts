import type { SentAnswer, Versions } from './versioned-origin.ts';

/** One version of a key. Times are monotonic milliseconds of the test process. */
export interface Write {
  readonly key: number;
  readonly version: number;
  /** When the feed, or Weir, had accepted it. */
  readonly publishedAtMs: number;
  /** Its position in the feed; null: none is known. */
  readonly position: string | null;
  /** Requests from this time on must see it, because Weir has reported it in force; Infinity: Weir has not. */
  inForceAtMs: number;
}

export interface Read {
  readonly path: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly versions: Versions;
  readonly how: string;
}

export interface Violation {
  readonly read: Read;
  readonly key: number;
  readonly expected: Write;
}

export interface Bounds {
  /** A request must see what was published so long before it, whatever Weir has reported; Infinity: no such bound. */
  readonly knownAfterMs: number;
  /** How long after a change the origin itself may show the old state. */
  readonly originLagMs: number;
}

/** The record of a run, and the search for violations in it. */
export class History {
  readonly writes: Write[] = [];
  readonly reads: Read[] = [];
  /** Messages about responses that belong to another client or mix two versions. */
  readonly wrong: string[] = [];
  failures = 0;

  written(versions: Versions, publishedAtMs: number, position: string | null): Write[] {
    const writes = Object.entries(versions).map(([key, version]) => ({
      key: Number(key),
      version,
      publishedAtMs,
      position,
      inForceAtMs: Infinity,
    }));
    this.writes.push(...writes);
    return writes;
  }

  /** Requests from `atMs` on must see everything that was published before `publishedBeforeMs`. */
  allInForce(publishedBeforeMs: number, atMs: number): void {
    for (const write of this.writes) {
      if (write.publishedAtMs < publishedBeforeMs) write.inForceAtMs = Math.min(write.inForceAtMs, atMs);
    }
  }

  /** Responses older than a change that was in force when their request began. */
  violations({ knownAfterMs, originLagMs }: Bounds): Violation[] {
    const byKey = new Map<number, Write[]>();
    for (const write of this.writes) byKey.set(write.key, [...(byKey.get(write.key) ?? []), write]);
    return this.reads.flatMap((read) =>
      Object.entries(read.versions).flatMap(([text, version]) => {
        const key = Number(text);
        const missed = (byKey.get(key) ?? []).find((write) => {
          if (write.version <= version) return false;
          const known = Math.min(write.inForceAtMs, write.publishedAtMs + knownAfterMs);
          return read.startedAtMs > Math.max(known, write.publishedAtMs + originLagMs);
        });
        return missed === undefined ? [] : [{ read, key, expected: missed }];
      }),
    );
  }

  /** Responses older than an answer that the origin had sent for the path `knownAfterMs` before their request began. */
  outdated(sent: readonly SentAnswer[], knownAfterMs: number): string[] {
    const sentFor = Map.groupBy(sent, ({ path }) => path);
    return [...Map.groupBy(this.reads, ({ path }) => path)].flatMap(([path, reads]) => {
      const answers = (sentFor.get(path) ?? []).toSorted((a, b) => a.atMs - b.atMs);
      const newest = new Map<string, SentAnswer>();
      let known = 0;
      return reads
        .toSorted((a, b) => a.startedAtMs - b.startedAtMs)
        .flatMap((read) => {
          for (; (answers[known]?.atMs ?? Infinity) < read.startedAtMs - knownAfterMs; known += 1) {
            for (const [key, version] of Object.entries(answers[known]!.versions)) {
              if (version > (newest.get(key)?.versions[Number(key)] ?? -1)) newest.set(key, answers[known]!);
            }
          }
          return Object.entries(read.versions).flatMap(([key, version]) => {
            const last = newest.get(key);
            const lastVersion = last?.versions[Number(key)] ?? -1;
            if (last === undefined || lastVersion <= version) return [];
            const since = (read.startedAtMs - last.atMs).toFixed(1);
            return [
              `${path} (asked at ${read.startedAtMs.toFixed(1)}) shows ${key} at version ${version}, but the origin ` +
                `had sent version ${lastVersion} ${since} ms before: ${read.how}`,
            ];
          });
        });
    });
  }

  get hits(): number {
    return this.reads.filter(({ how }) => /; hit/.test(how)).length;
  }

  /** Whether enough responses were reused, and enough changes in force, to reveal a stale response. */
  get isConclusive(): boolean {
    return this.hits > this.reads.length / 50 && this.inForce > this.writes.length / 4;
  }

  get inForce(): number {
    return this.writes.filter(({ inForceAtMs }) => inForceAtMs < Infinity).length;
  }
}

export function describeViolation({ read, key, expected }: Violation): string {
  const after = (atMs: number): string => `${(read.startedAtMs - atMs).toFixed(1)} ms`;
  return (
    `${read.path} (asked at ${read.startedAtMs.toFixed(1)}) shows ${key} at version ${read.versions[key]}, ` +
    `but version ${expected.version} was published ${after(expected.publishedAtMs)} and in force ` +
    `${after(expected.inForceAtMs)} before: ${read.how}`
  );
}
