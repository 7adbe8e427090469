/**
 * A position in Kafka topics: for each partition of each topic the next offset. Written as
 * `topic~identity:12e3m1-mO3hXk9aQz.7`, with partitions in order and topics separated by `/`. `e3` is the leader
 * epoch of the previous record; `m1-…` is the distance of the last message read and its digest. Both are optional. Of
 * these separators topic names may contain only `.` and digits, which have a meaning only after the colon.
 */
export interface KafkaPosition {
  readonly topics: ReadonlyMap<string, TopicPlace>;
}

export interface TopicPlace {
  /** The topic's id, or the cluster's if topics have none, percent-encoded; null: not written (`showPosition`). */
  readonly identity: string | null;
  readonly partitions: readonly PartitionPlace[];
}

export interface PartitionPlace {
  /** The next offset to read. */
  readonly next: bigint;
  /** The leader epoch of the record before `next`; −1: unknown. */
  readonly epoch: number;
  /** The last message read, by which the log is recognised; absent: none. */
  readonly mark?: RecordMark;
}

export interface RecordMark {
  readonly offset: bigint;
  readonly digest: string;
}

/** Null: the text is not a position of this feed. */
export function parsePosition(text: string): KafkaPosition | null {
  const topics = new Map<string, TopicPlace>();
  for (const part of text.split('/')) {
    const [, name, identity, places] =
      /^([\w.-]+)(?:~([^:/]*))?:((?:\d+(?:e\d+)?(?:m\d+-[\w-]+)?(?:\.|$))+)$/.exec(part) ?? [];
    if (name === undefined || places === undefined || places.endsWith('.') || topics.has(name)) return null;
    topics.set(name, { identity: identity ?? null, partitions: places.split('.').map(parsePlace) });
  }
  return { topics };
}

export function formatPosition(position: KafkaPosition): string {
  return [...position.topics].map(([name, place]) => formatTopic(name, place)).join('/');
}

/** The position with its offsets only: `topic:12.7`. */
export function showPosition(text: string): string {
  const position = parsePosition(text);
  if (position === null) return text;
  return [...position.topics]
    .map(([name, { partitions }]) => `${name}:${partitions.map((place) => place.next).join('.')}`)
    .join('/');
}

/**
 * Compares vectors: one position is before another if it is lower in some partition and higher in none. A partition
 * that is missing in one of them was added later and begins at 0.
 */
export function comparePositions(a: string, b: string): number | null {
  const left = parsePosition(a);
  const right = parsePosition(b);
  if (left === null || right === null || left.topics.size !== right.topics.size) return null;
  let isBefore = false;
  let isAfter = false;
  for (const [name, mine] of left.topics) {
    const other = right.topics.get(name);
    if (other === undefined || areDifferent(mine.identity, other.identity)) return null;
    const count = Math.max(mine.partitions.length, other.partitions.length);
    for (let partition = 0; partition < count; partition++) {
      const difference = (mine.partitions[partition]?.next ?? 0n) - (other.partitions[partition]?.next ?? 0n);
      isBefore ||= difference < 0n;
      isAfter ||= difference > 0n;
    }
  }
  if (isBefore && isAfter) return null;
  return Number(isAfter) - Number(isBefore);
}

function parsePlace(text: string): PartitionPlace {
  const [, nextText, epochText, back, digest] = /^(\d+)(?:e(\d+))?(?:m(\d+)-([\w-]+))?$/.exec(text)!;
  const next = BigInt(nextText!);
  const place = { next, epoch: epochText === undefined ? -1 : Number(epochText) };
  if (back === undefined || digest === undefined) return place;
  return { ...place, mark: { offset: next - BigInt(back), digest } };
}

function formatTopic(name: string, place: TopicPlace): string {
  const identity = place.identity === null ? '' : `~${place.identity}`;
  return `${name}${identity}:${place.partitions.map(formatPlace).join('.')}`;
}

function formatPlace({ next, epoch, mark }: PartitionPlace): string {
  const inEpoch = epoch < 0 ? '' : `e${epoch}`;
  return `${next}${inEpoch}${mark === undefined ? '' : `m${next - mark.offset}-${mark.digest}`}`;
}

function areDifferent(a: string | null, b: string | null): boolean {
  return a !== null && b !== null && a !== b;
}
