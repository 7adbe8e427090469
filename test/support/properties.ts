/** fast-check as all properties use it: every run tries the same values, `SEED=7 vitest run` others. */
import * as fc from 'fast-check';

fc.configureGlobal({ seed: Number(process.env['SEED'] ?? 1) });

export { fc };
