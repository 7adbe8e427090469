import type { AskedEntry, Invalidated } from './fence.ts';

/** A worker's calls to the coordinator's fence. */
export type FenceCalls = {
  invalidate(argument: { readonly tags: readonly string[]; readonly entry?: AskedEntry }): Invalidated;
  /** Invalidates everything with the tag except this entry. Returns the new floor of the entry. */
  invalidateBut(argument: AskedEntry & { readonly tag: string }): { readonly floor: number };
};
