import { describe, expect, it } from 'vitest';
import { readMessages } from './codec.ts';
import { compareCodecs, STRICTER } from './differential.ts';
import { LlhttpOracle } from './llhttp.ts';

describe('our codec and llhttp in strict mode', () => {
  it('read 20,000 made and mutated messages alike, or ours refuses them for a listed reason', async () => {
    const report = await compareCodecs(1, 20_000);
    expect(report.faults).toEqual([]);
    expect(report.accepted).toBeGreaterThan(5_000);
    expect(report.stricter).toBeGreaterThan(10);
  });

  it.each(STRICTER)('differ in this: $reason', async ({ example, refusal, form }) => {
    const bytes = [Buffer.from(example, 'latin1')];
    const [oracle] = await new LlhttpOracle().read([bytes]);
    expect(oracle!.refusal).toBeNull();
    expect(oracle!.messages.length).toBeGreaterThan(readMessages(bytes).messages.length);
    expect(readMessages(bytes).refusal).toBe(refusal);
    expect(example).toMatch(form);
  });
});
