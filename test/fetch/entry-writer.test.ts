import { expect, it } from 'vitest';
import type { DiskTier } from '../../proxy/store/disk-tier.ts';
import { Tiers } from '../../proxy/store/tiers.ts';
import { createMemoryTier } from '../../proxy/store/memory.ts';
import { FlightBody } from '../../proxy/store/body.ts';
import { EntryWriter } from '../../proxy/store/entry-writer.ts';
import { entry } from '../store/disk/support/entries.ts';

const KIB = 1024;

it('a whole entry can be found before any waiter receives its end', () => {
  const order: string[] = [];
  const head = entry(1, { sizeBytes: 1 });
  const tier: Partial<DiskTier> = {
    begin: () => ({
      append: () => {},
      onStored: () => {},
      commit: () => {
        order.push(`in memory: ${tiers.memory.get(head.key).length}`, 'on its way to the disk');
        return Promise.resolve(true);
      },
      abort: () => {},
    }),
  };
  const tiers = new Tiers(createMemoryTier(64 * KIB, 1), tier as DiskTier, () => null);
  const writer = EntryWriter.begin(head, {
    tiers,
    maxObjectBytes: KIB,
    maxVariants: 1,
    toDisk: true,
    newEntryId: null,
    over: () => order.push('over'),
  })!;
  const body = new FlightBody({
    windowBytes: KIB,
    keepsAll: writer.inMemory,
    isStored: writer.onDisk,
    pause: () => {},
    resume: () => {},
    onDeserted: () => {},
  });
  writer.attach(body);
  const content = Uint8Array.of(1);
  body.append(content);
  writer.append(content);
  body.reader(0, () => order.push(body.state.kind));
  writer.finish([]);
  expect(order).toEqual(['in memory: 1', 'on its way to the disk', 'whole', 'over']);
});
