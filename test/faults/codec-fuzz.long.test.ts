import { expect, it } from 'vitest';
import { compareCodecs } from '../http/differential.ts';

const MESSAGES = 1_000_000;

it(
  'the codec and llhttp read 1,000,000 made and mutated messages alike, or the codec refuses them for a listed reason',
  { timeout: 1_800_000 },
  async () => {
    const seed = Number(process.env['WEIR_FUZZ_SEED'] ?? Date.now() % 1_000_000);
    console.log(`WEIR_FUZZ_SEED=${seed}`);
    const { faults, ...report } = await compareCodecs(seed, MESSAGES);
    console.log(report);
    expect(faults).toEqual([]);
    expect(report.messages).toBeGreaterThanOrEqual(MESSAGES);
  },
);
