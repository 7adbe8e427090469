import type { Said, Versions } from './versioned-origin.ts';

/** One version of a key. Times are monotonic milliseconds of the process that writes and reads. */
export interface Write {
  readonly key: number;
  readonly version: number;
  /** When the feed had it, or the purge was asked for. */
  readonly publishedAtMs: number;
  /** In the feed's own words; null: it has none. */
  readonly position: string | null;
  /** From when on a request must see it, because Weir had said that it is in force; Infinity: Weir has not said so. */
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
  /** However little Weir has said, what was published so long before a request must be seen; Infinity: no such promise. */
  readonly knownAfterMs: number;
  /** How long after a change the origin itself may show the old state. */
  readonly originLagMs: number;
}

/** What happened in a run, and the search for what must not have happened. */
export class History {
  readonly writes: Write[] = [];
  readonly reads: Read[] = [];
  /** Responses that were another client's, or whose parts are of two versions, in words. */
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

  /** All that was published before `publishedBeforeMs` must be seen by requests from `atMs` on. */
  allInForce(publishedBeforeMs: number, atMs: number): void {
    for (const write of this.writes) {
      if (write.publishedAtMs < publishedBeforeMs) write.inForceAtMs = Math.min(write.inForceAtMs, atMs);
    }
  }

  /** Responses older than something that was in force when their request began. */
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

  /** Responses older than what the origin had said of the same path `knownAfterMs` before their request began. */
  outdated(said: readonly Said[], knownAfterMs: number): string[] {
    const saidOf = Map.groupBy(said, ({ path }) => path);
    return [...Map.groupBy(this.reads, ({ path }) => path)].flatMap(([path, reads]) => {
      const answers = (saidOf.get(path) ?? []).toSorted((a, b) => a.atMs - b.atMs);
      const newest = new Map<string, Said>();
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
                `had said version ${lastVersion} ${since} ms before: ${read.how}`,
            ];
          });
        });
    });
  }

  get hits(): number {
    return this.reads.filter(({ how }) => /; hit/.test(how)).length;
  }

  /** Something was used again, and enough was in force: what is stale could have been seen. */
  get isTelling(): boolean {
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
