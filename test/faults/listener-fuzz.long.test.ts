import { expect, it } from 'vitest';
import { fuzzListener } from '../http/fuzzing.ts';

const MESSAGES = 120_000;

it(
  'the listener survives 120,000 mutated messages: no crash, no hang, no answer on the wrong connection',
  { timeout: 600_000 },
  async () => {
    const seed = Number(process.env['WEIR_FUZZ_SEED'] ?? Date.now() % 1_000_000);
    console.log(`WEIR_FUZZ_SEED=${seed}`);
    const { faults, ...report } = await fuzzListener(seed, MESSAGES);
    console.log(report);
    expect(faults).toEqual([]);
    expect(report.messages).toBeGreaterThanOrEqual(MESSAGES);
  },
);
