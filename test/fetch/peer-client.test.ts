import { expect, it } from 'vitest';
import type { FlightBody } from '../../proxy/store/body.ts';
import type { DiskTier } from '../../proxy/store/disk-tier.ts';
import { Tiers } from '../../proxy/store/tiers.ts';
import { createMemoryTier } from '../../proxy/store/memory.ts';
import type { FlightResult } from '../../proxy/fetch/flight-result.ts';
import type { PeerMessage } from '../../proxy/fetch/peers/messages.ts';
import { PeerFetchClient, type PeerFetchClientDependencies } from '../../proxy/fetch/peers/client.ts';
import { entry } from '../store/disk/support/entries.ts';

const KIB = 1024;

/** A flight in another worker that one client here has read and left; returns the messages to that worker. */
function leftByAll(memoryBytes: number): {
  receive(message: PeerMessage): void;
  readonly messages: string[];
} {
  const messages: string[] = [];
  const tiers = new Tiers(createMemoryTier(memoryBytes, 1), {} as DiskTier, () => null);
  const client = new PeerFetchClient(
    { tiers, windowBytes: 64 * KIB, maxObjectBytes: 8 * KIB },
    { id: 1, route: { config: { cache: { maxVariants: 1 } } } } as never,
    {
      inform: () => {},
      over: () => messages.push('over'),
      deliver: (result: FlightResult) => {
        if (result.kind === 'entry') result.body!.reader(0, () => {}).close();
      },
    },
    (message) => messages.push(message.kind),
  );
  client.receive({
    kind: 'entry',
    id: 1,
    head: entry(1, { sizeBytes: -1 }),
    originStatus: 200,
    collapsed: false,
    ownFields: [],
    streams: true,
    stores: true,
  });
  return { receive: (message) => client.receive(message), messages };
}

const data = (): PeerMessage => ({ kind: 'data', id: 1, bytes: new Uint8Array(KIB) });

it.each([0, 64 * KIB])(
  'content without a reader is given up when no tier stores it any more, with %i bytes of memory',
  (memoryBytes) => {
    const { receive, messages } = leftByAll(memoryBytes);
    for (let n = 0; n < 8; n += 1) receive(data());
    expect(messages).toEqual(['credit']);
    receive({ kind: 'stored', id: 1, length: 0 });
    receive(data());
    expect(messages).toEqual(['credit', 'leave', 'over']);
  },
);

/**
 * A client of a flight whose response is passed on; returns its messages to the owner and to its own worker,
 * in order.
 */
function passedOn() {
  const messages: string[] = [];
  let body: FlightBody | null = null;
  const client = new PeerFetchClient(
    { windowBytes: 64 * KIB } as PeerFetchClientDependencies,
    { id: 1 } as never,
    {
      inform: () => messages.push('inform'),
      over: () => messages.push('over'),
      deliver: (result) => {
        messages.push(result.kind);
        if (result.kind === 'pass') body = result.body;
      },
    },
    (message) => messages.push(message.kind),
  );
  const begin = (): void => {
    client.receive({ kind: 'pass', id: 1, status: 200, fields: [], reason: 'no-store' });
    body!.reader(0, () => {});
  };
  return { client, messages, begin, bodyState: () => body!.state.kind };
}

it('waiters start again when the owner dies before the head', () => {
  const { client, messages } = passedOn();
  client.lost();
  expect(messages).toEqual(['owner-lost', 'over']);
});

it('the content is cut when the owner dies within it', () => {
  const { client, messages, begin, bodyState } = passedOn();
  begin();
  client.lost();
  expect(messages).toEqual(['pass', 'credit', 'over']);
  expect(bodyState()).toBe('cut');
});

it('a client that has ended sends no more messages', () => {
  const { client, messages, begin, bodyState } = passedOn();
  begin();
  client.receive({ kind: 'end', id: 1, trailers: [] });
  client.receive({ kind: 'cut', id: 1 });
  client.abandon();
  client.lost();
  expect(messages).toEqual(['pass', 'credit', 'over']);
  expect(bodyState()).toBe('whole');
});

it('content before the head is ignored, and so is a second head', () => {
  const { client, messages, begin } = passedOn();
  client.receive(data());
  begin();
  client.receive({ kind: 'refused', id: 1, limit: 'waiters' });
  expect(messages).toEqual(['pass', 'credit']);
});
