import type { KeyedHash } from '../threads/keyed-hash.ts';

/**
 * Which worker runs the flights of a key: the first that claims the key's slot in a table of fixed size in shared memory, by
 * compare-and-exchange, until the last flight that it runs there is over. A worker that finds the slot claimed subscribes to
 * the flights of the claimer. Keys that share a slot are claimed together, so a collision costs a message and never a second
 * request to the origin.
 */
export interface FlightClaims {
  /** `new`: this worker has claimed the slot now; `own`: before. Otherwise the index of the worker that has claimed it. */
  claim(key: string): number | 'new' | 'own';
  /** To be called once for each successful `claim`. */
  release(key: string): void;
}

/** Where the flights of a key run. */
export interface FlightPlaces<Peer> {
  /**
   * Claims the flights of the key for this worker, or finds the worker that has claimed them. `unclaimed`: this worker runs
   * a flight without a claim, because the worker that has claimed them, or that owns the key, is being replaced.
   */
  claimFlight(key: string): Peer | 'claimed' | 'unclaimed';
  /** To be called once for each `claimed`, when the flight is over. */
  releaseFlight(key: string): void;
}

const SLOTS = 65_536;

export function flightClaimsBuffer(): SharedArrayBuffer {
  return new SharedArrayBuffer(SLOTS * 4);
}

/** `index`: of this worker. A word holds the index of the claimer plus 1; 0: the slot is free. */
export function createFlightClaims(buffer: SharedArrayBuffer, index: number, hash: KeyedHash): FlightClaims {
  const words = new Uint32Array(buffer);
  /** How many claims this worker has in each slot that it has claimed. */
  const claims = new Map<number, number>();
  return {
    claim(key) {
      const slot = hash.hash(key) % SLOTS;
      const own = claims.get(slot);
      if (own === undefined) {
        const holder = Atomics.compareExchange(words, slot, 0, index + 1);
        if (holder !== 0) return holder - 1;
        claims.set(slot, 1);
        return 'new';
      }
      claims.set(slot, own + 1);
      return 'own';
    },
    release(key) {
      const slot = hash.hash(key) % SLOTS;
      const own = claims.get(slot)!;
      if (own > 1) claims.set(slot, own - 1);
      else {
        claims.delete(slot);
        Atomics.store(words, slot, 0);
      }
    },
  };
}

/** Frees the slots of a worker that has died. To be called before its replacement, which has the same index, starts. */
export function forgetFlightClaims(buffer: SharedArrayBuffer, index: number): void {
  const words = new Uint32Array(buffer);
  for (let slot = 0; slot < SLOTS; slot += 1) {
    if (Atomics.load(words, slot) === index + 1) Atomics.store(words, slot, 0);
  }
}
