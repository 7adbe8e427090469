import type { ConnectionCounter } from '../http/listener.ts';

/** Counts open connections in one cell per worker, so that the count of a dead worker can be reset. */
export function connectionBuffer(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(workers * 4);
}

/** Counts for the worker at `index`, and returns the sum over all workers. */
export function createConnectionCounter(buffer: SharedArrayBuffer, index: number): ConnectionCounter {
  const cells = new Int32Array(buffer);
  return {
    add(change) {
      Atomics.add(cells, index, change);
      return openConnections(buffer);
    },
  };
}

export function openConnections(buffer: SharedArrayBuffer): number {
  const cells = new Int32Array(buffer);
  let sum = 0;
  for (let i = 0; i < cells.length; i += 1) sum += Atomics.load(cells, i);
  return sum;
}

export function forgetConnections(buffer: SharedArrayBuffer, index: number): void {
  Atomics.store(new Int32Array(buffer), index, 0);
}
