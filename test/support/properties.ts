/**
 * fast-check with the settings of all properties: every run tries the same values; `SEED=7 vitest run` tries
 * others.
 */
import * as fc from 'fast-check';

fc.configureGlobal({ seed: Number(process.env['SEED'] ?? 1) });

export { fc };
