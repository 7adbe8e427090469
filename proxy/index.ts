/** Weir as a library: everything that `weir serve` runs, in the caller's own process. */
import { nodeProblem } from './node-version.ts';

const problem = nodeProblem();
if (problem !== null) throw new Error(problem);

// Only now: an older Node.js fails to link what these import.
const serving = await import('./cli/serve.ts');
const embedding = await import('./runtime/embedding.ts');

export const serve = serving.serve;
/** Runs Weir's Coordinator and its workers: the whole of `weir serve` but signals and standard error. */
export const start = embedding.start;

export type { ServeOptions } from './cli/serve.ts';
export type { EmbeddedWeir, StartOptions, Started, Reloading } from './runtime/embedding.ts';
export type { Config } from '../policies/config/config.ts';
