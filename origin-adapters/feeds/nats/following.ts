import type { FeedClock, FeedEvent } from '../feed.ts';
import type { Arrivals } from './arrivals.ts';
import { NatsFault } from './fault.ts';
import {
  formatPosition,
  goneReason,
  markOf,
  type KnownMessage,
  type NatsPosition,
  type NatsStreamState,
} from './position.ts';

/** Reports the stream's state independently of the consumer. */
export interface StreamLeader {
  state(): Promise<NatsStreamState>;
  /** The lowest sequence of a message from `from` on; null: there is none. */
  nextSequence(from: number): Promise<number | null>;
}

export interface FollowOptions<Message> {
  readonly leader: StreamLeader;
  readonly arrivals: Arrivals<Message>;
  readonly from: NatsPosition;
  /** The interval of requests for the head. */
  readonly headMs: number;
  readonly clock: FeedClock;
  eventOf(message: Message, position: string): FeedEvent;
  /** The properties by which the message is recognised later. */
  knownBy(message: Message): KnownMessage;
}

/** The head when it was requested, and how far the stream had been read at the last check. */
interface Proof {
  readonly askedAtMonotonicMs: number;
  readonly head: number;
  readTo: number;
}

/**
 * Yields what arrives and accounts for every sequence: a skipped one was removed before it was read, which is a gap.
 * The head that the leader reports is proved, as of the request, once the stream was read up to it. Ends by throwing.
 */
export async function* followStream<Message extends { readonly seq: number }>(
  options: FollowOptions<Message>,
): AsyncGenerator<FeedEvent> {
  const { leader, arrivals, clock, from, headMs } = options;
  let place = from;
  let { sequence } = from;
  let proof: Proof | null = null;
  let dueAtMs = clock.monotonicMs();
  for (;;) {
    const nowMs = clock.monotonicMs();
    if (nowMs >= dueAtMs) {
      proof ??= { askedAtMonotonicMs: nowMs, head: await headOf(leader, from, sequence), readTo: -1 };
      if (sequence < proof.head && sequence === proof.readTo && arrivals.isEmpty) {
        await refuseUndelivered(leader, sequence, proof.head);
        const reason = goneReason(sequence + 1, proof.head);
        sequence = proof.head;
        place = { sequence, created: from.created };
        yield { kind: 'gap', reason, position: formatPosition(place) };
      }
      if (sequence < proof.head) yield { kind: 'behind', events: proof.head - sequence };
      proof.readTo = sequence;
      // The time counts from the response, because messages of the stream may arrive as late as the response.
      dueAtMs = clock.monotonicMs() + headMs;
    }
    if (proof !== null && sequence >= proof.head) {
      const { askedAtMonotonicMs } = proof;
      proof = null;
      yield { kind: 'head', position: formatPosition(place), askedAtMonotonicMs };
    }
    const message = arrivals.take();
    if (message === null) {
      await arrivals.wait(dueAtMs - clock.monotonicMs());
      continue;
    }
    const { seq } = message;
    if (seq <= sequence) throw new NatsFault('protocol', 'soon', 'messages came out of order');
    if (seq > sequence + 1) yield { kind: 'gap', reason: goneReason(sequence + 1, seq - 1), position: null };
    sequence = seq;
    place = { sequence, created: from.created, mark: markOf(options.knownBy(message)) };
    yield options.eventOf(message, formatPosition(place));
  }
}

/** The last sequence of the stream, provided that it is still the same stream. */
async function headOf(leader: StreamLeader, from: NatsPosition, sequence: number): Promise<number> {
  const state = await leader.state();
  if (state.created === from.created && state.lastSequence >= sequence) return state.lastSequence;
  // Opening the feed again detects the gap.
  throw new NatsFault('unreachable', 'soon', 'the stream was recreated or went back');
}

/**
 * Called when no message arrives although the head is further on. Throws if the stream holds messages that the
 * consumer does not deliver; otherwise nothing is left up to the head.
 */
async function refuseUndelivered(leader: StreamLeader, sequence: number, head: number): Promise<void> {
  const next = await leader.nextSequence(sequence + 1);
  if (next === null || next > head) return;
  throw new NatsFault('unreachable', 'soon', 'the server does not deliver what the stream holds');
}
