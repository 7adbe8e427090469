import { expect, it } from 'vitest';
import type { DiskTier } from '../../proxy/store/disk-tier.ts';
import { Tiers } from '../../proxy/store/tiers.ts';
import { createMemoryTier } from '../../proxy/store/memory.ts';
import type { FlightResult } from '../../proxy/fetch/flight-result.ts';
import type { PeerMessage } from '../../proxy/fetch/peers/messages.ts';
import { PeerFetchClient } from '../../proxy/fetch/peers/client.ts';
import { entry } from '../store/disk/support/entries.ts';

const KIB = 1024;

/** A flight in another worker that one client here has read from and left; gives what that worker is told. */
function leftByAll(memoryBytes: number): { receive(message: PeerMessage): void; readonly told: string[] } {
  const told: string[] = [];
  const tiers = new Tiers(createMemoryTier(memoryBytes, 1), {} as DiskTier, () => null);
  const subscription = new PeerFetchClient(
    { tiers, windowBytes: 64 * KIB, maxObjectBytes: 8 * KIB },
    { id: 1, route: { config: { cache: { maxVariants: 1 } } } } as never,
    {
      inform: () => {},
      over: () => told.push('over'),
      deliver: (landing: FlightResult) => {
        if (landing.kind === 'entry') landing.body!.reader(0, () => {}).close();
      },
    },
    (message) => told.push(message.kind),
  );
  subscription.receive({
    kind: 'entry',
    id: 1,
    head: entry(1, { sizeBytes: -1 }),
    originStatus: 200,
    collapsed: false,
    ownFields: [],
    streams: true,
    stores: true,
  });
  return { receive: (message) => subscription.receive(message), told };
}

const data = (): PeerMessage => ({ kind: 'data', id: 1, bytes: new Uint8Array(KIB) });

it.each([0, 64 * KIB])(
  'content without a reader is given up when nothing stores it any more, with %i bytes of memory',
  (memoryBytes) => {
    const { receive, told } = leftByAll(memoryBytes);
    for (let n = 0; n < 8; n += 1) receive(data());
    expect(told).toEqual(['credit']);
    receive({ kind: 'stored', id: 1, length: 0 });
    receive(data());
    expect(told).toEqual(['credit', 'leave', 'over']);
  },
);
