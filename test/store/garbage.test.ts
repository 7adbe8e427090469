import { expect, it } from 'vitest';
import { noteContent } from '../../proxy/store/garbage.ts';
import { settle } from '../support/barrier.ts';

const MIB = 2 ** 20;

it('garbage collection keeps the memory of dropped content below 48 MiB', async () => {
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  for (let i = 0; i < 400; i += 1) {
    const content = new Uint8Array(MIB);
    noteContent(content.byteLength);
    await settle(1);
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  // V8 alone lets 75 MiB and more accumulate. Another thread frees the memory, and may be late.
  expect(most).toBeLessThan(48 * MIB);
});
