import type { FeedClock, FeedEvent } from '../feed.ts';
import type { Arrivals } from './arrivals.ts';
import { NatsFault } from './fault.ts';
import {
  formatPlace,
  goneReason,
  markOf,
  type KnownMessage,
  type NatsPosition,
  type NatsStreamState,
} from './place.ts';

/** Who knows what the stream holds, whatever the consumer delivers. */
export interface StreamLeader {
  state(): Promise<NatsStreamState>;
  /** The first sequence from that one on of which there is a message; null: there is none. */
  nextSequence(from: number): Promise<number | null>;
}

export interface Following<Message> {
  readonly leader: StreamLeader;
  readonly arrivals: Arrivals<Message>;
  readonly from: NatsPosition;
  /** How often the head is asked for. */
  readonly headMs: number;
  readonly clock: FeedClock;
  eventOf(message: Message, position: string): FeedEvent;
  /** What the message is known again by. */
  knownBy(message: Message): KnownMessage;
}

/** Where the head was when it was asked for, and how far reading was when that was last looked at. */
interface Proof {
  readonly askedAtMonotonicMs: number;
  readonly head: number;
  readTo: number;
}

/**
 * Yields what arrives and accounts for every sequence: what is passed over was removed before it was read, which is a
 * gap. The head that the leader names is proved, as of the asking, once reading has got there. Ends by throwing.
 */
export async function* followStream<Message extends { readonly seq: number }>(
  following: Following<Message>,
): AsyncGenerator<FeedEvent> {
  const { leader, arrivals, clock, from, headMs } = following;
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
        yield { kind: 'gap', reason, position: formatPlace(place) };
      }
      if (sequence < proof.head) yield { kind: 'behind', events: proof.head - sequence };
      proof.readTo = sequence;
      // From the answer on, for what the stream holds may come as late as that did.
      dueAtMs = clock.monotonicMs() + headMs;
    }
    if (proof !== null && sequence >= proof.head) {
      const { askedAtMonotonicMs } = proof;
      proof = null;
      yield { kind: 'head', position: formatPlace(place), askedAtMonotonicMs };
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
    place = { sequence, created: from.created, mark: markOf(following.knownBy(message)) };
    yield following.eventOf(message, formatPlace(place));
  }
}

/** The last sequence of the very stream that reading began in. */
async function headOf(leader: StreamLeader, from: NatsPosition, sequence: number): Promise<number> {
  const state = await leader.state();
  if (state.created === from.created && state.lastSequence >= sequence) return state.lastSequence;
  // The gap is found where reading begins anew.
  throw new NatsFault('unreachable', 'soon', 'the stream was recreated or went back');
}

/**
 * Nothing came for a while although the head is further on: either nothing is left up to there, or the consumer has
 * failed us.
 */
async function refuseUndelivered(leader: StreamLeader, sequence: number, head: number): Promise<void> {
  const next = await leader.nextSequence(sequence + 1);
  if (next === null || next > head) return;
  throw new NatsFault('unreachable', 'soon', 'the server does not deliver what the stream holds');
}
