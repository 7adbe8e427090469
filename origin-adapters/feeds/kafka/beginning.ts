import type { KafkaPosition, PartitionPlace, TopicPlace } from './position.ts';

/** A topic's state before any of it is read. */
export interface ObservedTopic {
  readonly name: string;
  readonly identity: string;
  /** The partitions in order. `earliest`: the first offset kept; `end`: the offset after the last readable record. */
  readonly partitions: readonly ObservedPartition[];
}

export interface ObservedPartition {
  readonly earliest: bigint;
  readonly end: bigint;
}

/** The place where reading begins. `gap`: the reason why messages may have been missed; null: none were. */
export interface Beginning {
  readonly position: KafkaPosition;
  /** Partitions that begin at their end without a known last message: `topic/partition`. */
  readonly unmarked: ReadonlySet<string>;
  readonly gap: string | null;
}

/**
 * Each partition resumes at its offset if that is still kept, otherwise at its end, because a gap invalidates
 * everything before. A new partition is read from its first record.
 */
export function decideBeginning(after: KafkaPosition | null, observed: readonly ObservedTopic[]): Beginning {
  const reasons: string[] = [];
  const topics = new Map<string, TopicPlace>();
  const unmarked = new Set<string>();
  for (const topic of observed) {
    const before = after?.topics.get(topic.name) ?? null;
    const reason = reasonAgainst(before, topic, after === null);
    if (reason !== null) reasons.push(reason);
    const beginAtEnd = ({ earliest, end }: ObservedPartition, index: number): PartitionPlace => {
      if (end > earliest) unmarked.add(`${topic.name}/${index}`);
      return { next: end, epoch: -1 };
    };
    const partitions = topic.partitions.map((partition, index): PartitionPlace => {
      const place = reason === null ? (before?.partitions[index] ?? begin) : null;
      if (place === null) return beginAtEnd(partition, index);
      const problem = rangeProblem(place, partition) ?? markProblem(place, partition);
      if (problem === null)
        return isMarkKept(place, partition) ? place : { next: place.next, epoch: place.epoch };
      reasons.push(`${topic.name}/${index} ${problem}`);
      return beginAtEnd(partition, index);
    });
    topics.set(topic.name, { identity: topic.identity, partitions });
  }
  return { position: { topics }, unmarked, gap: reasons.length === 0 ? null : reasons.join('; ') };
}

const begin: PartitionPlace = { next: 0n, epoch: -1 };

/** The reason why the topic can't be resumed as a whole; null: it can. */
function reasonAgainst(before: TopicPlace | null, topic: ObservedTopic, isFirst: boolean): string | null {
  if (before === null)
    return isFirst ? `no position in ${topic.name}` : `${topic.name} was not followed before`;
  if (before.identity !== topic.identity || before.partitions.length > topic.partitions.length) {
    return `${topic.name} was recreated`;
  }
  return null;
}

function isMarkKept({ mark }: PartitionPlace, { earliest }: ObservedPartition): boolean {
  return mark === undefined || mark.offset >= earliest;
}

/** The reason why the log can't be recognised; null: it keeps the last message read, or nothing was written after it. */
function markProblem(place: PartitionPlace, partition: ObservedPartition): string | null {
  if (isMarkKept(place, partition) || place.next === partition.end) return null;
  return `no longer holds the last message read, ${place.mark!.offset}, by which it can be recognised`;
}

function rangeProblem(place: PartitionPlace, partition: ObservedPartition): string | null {
  if (place.next < partition.earliest)
    return `was trimmed: ${place.next} wanted, ${partition.earliest} is first`;
  if (place.next > partition.end) return `was cut off: ${place.next} wanted, it ends at ${partition.end}`;
  return null;
}
