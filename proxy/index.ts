/** Weir as a library: everything that `weir serve` runs, in the caller's own process. */
export { serve, type ServeOptions } from './process/serve.ts';
export {
  Coordinator,
  type CoordinatorDependencies,
  type CoordinatorStart,
  type ReloadResult,
} from './process/coordinator.ts';
export type { Config } from '../policies/config/config.ts';
