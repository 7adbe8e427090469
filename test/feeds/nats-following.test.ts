import { describe, expect, it } from 'vitest';
import type { FeedEvent } from '../../origin-adapters/feeds/feed.ts';
import { Arrivals } from '../../origin-adapters/feeds/nats/arrivals.ts';
import { followStream } from '../../origin-adapters/feeds/nats/following.ts';
import type { NatsStreamState } from '../../origin-adapters/feeds/nats/position.ts';
import { gate, settle } from '../support/barrier.ts';
import { FakeClock } from './fake-clock.ts';

const created = '2026-11-20T23:19:28Z';
const headMs = 100;

describe('following a stream', () => {
  it('proves a head, as of its request, once it was read up to', async () => {
    const scene = new Scene({ created, firstSequence: 1, lastSequence: 2 });
    const askedAtMonotonicMs = scene.clock.monotonicMs();
    await settle();
    expect(scene.heads).toEqual([]);
    scene.clock.advance(30);
    scene.deliver(1, 2);
    await settle();
    const [head, ...others] = scene.heads;
    expect(head).toMatchObject({
      kind: 'head',
      position: expect.stringContaining(`2@${created}`) as string,
      askedAtMonotonicMs,
    });
    expect(others).toEqual([]);
  });

  it('keeps an older proof until it is reached, although the head advances', async () => {
    const scene = new Scene({ created, firstSequence: 1, lastSequence: 1 });
    const askedAtMonotonicMs = scene.clock.monotonicMs();
    await settle();
    scene.state = { created, firstSequence: 1, lastSequence: 50 };
    scene.deliver(1);
    scene.clock.advance(headMs);
    await settle();
    expect(scene.heads[0]).toMatchObject({ askedAtMonotonicMs });
  });

  it('ends when the stream was recreated, although its consumer reports nothing', async () => {
    const scene = new Scene({ created, firstSequence: 1, lastSequence: 0 });
    await settle();
    scene.state = { created: '2026-11-20T23:20:00Z', firstSequence: 1, lastSequence: 0 };
    scene.clock.advance(headMs);
    await expect(scene.ended).rejects.toThrow('recreated');
    expect(scene.heads).toHaveLength(1);
  });

  it('ends when the stream went back to an older state', async () => {
    const scene = new Scene({ created, firstSequence: 1, lastSequence: 1 });
    scene.deliver(1);
    await settle();
    scene.state = { created, firstSequence: 1, lastSequence: 0 };
    scene.clock.advance(headMs);
    await expect(scene.ended).rejects.toThrow('went back');
  });

  it('ends when messages come out of order', async () => {
    const scene = new Scene({ created, firstSequence: 1, lastSequence: 2 });
    scene.deliver(2, 1);
    await expect(scene.ended).rejects.toThrow('out of order');
  });

  it('ends when the consumer does not deliver what the stream holds', async () => {
    const scene = new Scene({ created, firstSequence: 1, lastSequence: 2 });
    scene.next = 2;
    await settle();
    scene.clock.advance(headMs);
    await expect(scene.ended).rejects.toThrow('does not deliver');
    expect(scene.events.filter(({ kind }) => kind === 'gap')).toEqual([]);
  });

  it('waits for messages also after a late response with the head', async () => {
    const answer = gate();
    const scene = new Scene({ created, firstSequence: 1, lastSequence: 2 }, answer.promise);
    scene.next = 1;
    await settle();
    scene.clock.advance(2 * headMs);
    answer.open();
    await settle();
    scene.clock.advance(headMs - 1);
    await settle();
    scene.deliver(1, 2);
    await settle();
    expect(scene.heads).toHaveLength(1);
  });

  it('finds a gap up to the head when nothing is left before it', async () => {
    const scene = new Scene({ created, firstSequence: 1, lastSequence: 2 });
    scene.next = 3;
    await settle();
    scene.clock.advance(headMs);
    await settle();
    expect(scene.events.slice(-2)).toMatchObject([
      { kind: 'gap', reason: 'removed before it was read: messages 1 to 2', position: `2@${created}` },
      { kind: 'head', position: `2@${created}` },
    ]);
  });
});

/** A stream whose leader and consumer are scripted by the test. */
class Scene {
  readonly clock = new FakeClock();
  readonly events: FeedEvent[] = [];
  readonly ended: Promise<void>;
  state: NatsStreamState;
  next: number | null = null;
  readonly #answering: Promise<void>;
  readonly #deliveries = Array.from({ length: 10 }, () => Promise.withResolvers<readonly number[]>());
  #delivered = 0;

  /** `answering`: the leader responds once it resolves. */
  constructor(state: NatsStreamState, answering: Promise<void> = Promise.resolve()) {
    this.state = state;
    this.#answering = answering;
    this.ended = this.#follow();
    this.ended.catch(() => undefined);
  }

  get heads(): FeedEvent[] {
    return this.events.filter(({ kind }) => kind === 'head');
  }

  deliver(...sequences: readonly number[]): void {
    this.#deliveries[this.#delivered]!.resolve(sequences);
    this.#delivered += 1;
  }

  async #follow(): Promise<void> {
    const following = followStream({
      leader: {
        state: async () => {
          await this.#answering;
          return this.state;
        },
        nextSequence: async () => this.next,
      },
      arrivals: this.#arrivals(),
      from: { sequence: 0, created },
      headMs,
      clock: this.clock,
      eventOf: (_message, position) => ({ kind: 'change', position, changes: [] }),
      knownBy: ({ seq }) => ({ subject: 'changes', data: new Uint8Array(0), timestampNanos: seq }),
    });
    for await (const event of following) this.events.push(event);
  }

  #arrivals(): Arrivals<{ readonly seq: number }> {
    const deliveries = this.#deliveries.values();
    return new Arrivals({
      clock: this.clock,
      signal: new AbortController().signal,
      fetch: async () => messagesOf((await deliveries.next().value?.promise) ?? (await forever())),
      bytesOf: () => 1,
      whyEnded: () => null,
    });
  }
}

async function* messagesOf(sequences: readonly number[]): AsyncGenerator<{ readonly seq: number }> {
  for (const seq of sequences) yield { seq };
}

async function forever(): Promise<never[]> {
  await gate().promise;
  return [];
}
