import type { KafkaTopic, Leader, WantedTopics } from './client.ts';
import { formatPosition, type KafkaPosition, type PartitionPlace, type RecordMark } from './position.ts';

/** One partition, and how far it has been read. */
export class PartitionReading {
  readonly topic: KafkaTopic;
  readonly index: number;
  next: bigint;
  epoch: number;
  mark?: RecordMark;
  /** The last message read, which must be read again first; null: it was, or none is known. */
  expected: RecordMark | null = null;
  /** The message before `next` is read as well, so that the log can be recognised by it later. */
  wantsMark = false;
  /** The offset after the last stable record, committed or aborted, as last reported by the leader; null: not yet. */
  highWatermark: bigint | null = null;

  constructor(topic: KafkaTopic, index: number, next: bigint, epoch: number) {
    this.topic = topic;
    this.index = index;
    this.next = next;
    this.epoch = epoch;
  }

  get leader(): Leader {
    return this.topic.leaders[this.index]!;
  }

  /** The offset at which the next fetch begins: before `next` until the last message has been recognised. */
  get from(): bigint {
    return this.expected?.offset ?? (this.wantsMark ? this.next - 1n : this.next);
  }

  /** Continues at that offset once the log has been recognised. */
  resume({ mark }: PartitionPlace): void {
    if (mark === undefined) return;
    this.mark = mark;
    this.expected = mark;
  }

  /** Moves to a later offset, and never back. */
  advance(next: bigint, epoch: number, mark: RecordMark | null = null): void {
    if (next <= this.next) return;
    this.next = next;
    this.epoch = epoch;
    if (mark !== null) this.mark = mark;
  }

  /** Continues at that offset without conditions. */
  restart(next: bigint): void {
    this.next = next;
    this.epoch = -1;
    delete this.mark;
    this.expected = null;
    this.wantsMark = false;
    this.highWatermark = null;
  }
}

/** All partitions of a feed's topics. */
export class KafkaReading {
  readonly partitions: readonly PartitionReading[];
  readonly nodes: readonly number[];
  readonly #topics: readonly (readonly [KafkaTopic, readonly PartitionReading[]])[];
  #turn = 0;

  constructor(topics: readonly KafkaTopic[], from: KafkaPosition, unmarked: ReadonlySet<string>) {
    this.#topics = topics.map((topic) => {
      const places = from.topics.get(topic.name)!.partitions;
      return [
        topic,
        places.map((place, index) => {
          const partition = new PartitionReading(topic, index, place.next, place.epoch);
          partition.resume(place);
          partition.wantsMark = unmarked.has(`${topic.name}/${index}`);
          return partition;
        }),
      ] as const;
    });
    this.partitions = this.#topics.flatMap(([, partitions]) => partitions);
    this.nodes = [...new Set(this.partitions.map(({ leader }) => leader.node))];
  }

  find(topicId: string, index: number): PartitionReading | null {
    const found = this.#topics.find(([topic]) => topic.id === topicId);
    return found?.[1][index] ?? null;
  }

  of(node: number): PartitionReading[] {
    return this.partitions.filter(({ leader }) => leader.node === node);
  }

  /** The partitions to fetch, in rotating order, because only the first one with records may exceed the size limits. */
  wanted(node: number): WantedTopics[] {
    const all = this.of(node);
    const first = this.#turn++ % all.length;
    return [...all.slice(first), ...all.slice(0, first)].map((partition) => ({
      topicId: partition.topic.id,
      partition: partition.index,
      leaderEpoch: partition.leader.epoch,
      next: partition.from,
      epoch: partition.epoch,
    }));
  }

  position(): string {
    const topics = new Map(
      this.#topics.map(
        ([topic, partitions]) => [topic.name, { identity: topic.identity, partitions }] as const,
      ),
    );
    return formatPosition({ topics });
  }

  /** The number of known records upstream that are not read yet. */
  behind(): number {
    return this.partitions.reduce(
      (sum, { highWatermark, next }) => sum + Number((highWatermark ?? next) - next),
      0,
    );
  }

  /** The reason why reading can't continue on the cluster in its present state; null: it can. */
  differenceTo(topics: readonly KafkaTopic[]): string | null {
    for (const [index, now] of topics.entries()) {
      const was = this.#topics[index]![0];
      if (now.identity !== was.identity) return `the topic ${now.name} was recreated`;
      if (now.leaders.length !== was.leaders.length) return `the topic ${now.name} has new partitions`;
      const moved = now.leaders.findIndex(
        (leader, partition) =>
          leader.node !== was.leaders[partition]!.node || leader.epoch !== was.leaders[partition]!.epoch,
      );
      if (moved !== -1) return `the partition ${now.name}/${moved} has a new leader`;
    }
    return null;
  }
}

/**
 * A proof of the head: each partition's end in a response to a fetch that was sent after `askedAtMs`, and everything
 * up to these ends was read. An open transaction delays it, because records after it are not readable yet.
 */
export class HeadProof {
  readonly askedAtMs: number;
  readonly #ends = new Map<PartitionReading, bigint>();

  constructor(askedAtMs: number) {
    this.askedAtMs = askedAtMs;
  }

  /** Records the partitions' ends from the response to a fetch of that time. */
  note(partitions: readonly PartitionReading[], sentAtMs: number): void {
    if (sentAtMs < this.askedAtMs) return;
    for (const partition of partitions) {
      const end = partition.highWatermark;
      if (end !== null && !this.#ends.has(partition)) this.#ends.set(partition, end);
    }
  }

  knows(partitions: readonly PartitionReading[]): boolean {
    return partitions.every((partition) => this.#ends.has(partition));
  }

  isComplete(partitions: readonly PartitionReading[]): boolean {
    return partitions.every((partition) => {
      const end = this.#ends.get(partition);
      return end !== undefined && partition.next >= end && partition.expected === null;
    });
  }
}
