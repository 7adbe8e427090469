/** Weir as a library: runs everything that `weir serve` runs in the caller's process. */
import { nodeProblem } from './node-version.ts';

const problem = nodeProblem();
if (problem !== null) throw new Error(problem);

// Imported after the version check: an older Node.js can't link these modules.
const serving = await import('./cli/serve.ts');
const embedding = await import('./runtime/embedding.ts');

export const serve = serving.serve;
/** Runs the coordinator and the workers: all of `weir serve` except signal handling and standard error. */
export const start = embedding.start;

export type { ServeOptions } from './cli/serve.ts';
export type { EmbeddedWeir, StartOptions, Started, Reloading } from './runtime/embedding.ts';
export type { Config } from '../policies/config/config.ts';
