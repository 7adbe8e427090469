/**
 * `node bench/eviction.ts`: how many requests each scheme of eviction answers, and how many records it writes besides
 * those that it stores. A simulation without a disk: popularity by Zipf's law, alone, among keys that are asked for once,
 * and with scans of keys that are asked for once.
 */
import { randomNumbers, zipfDraws } from './paths.ts';

const ITEMS = 50_000;
const REQUESTS = 1_000_000;

interface Scheme {
  /** True: the key was stored. */
  use(key: number): boolean;
  /** Records written because of uses and of eviction. */
  moves: number;
}

/** Least recently used: each use moves the entry in the order, at most once every `every` requests, as a minute does. */
function lru(capacity: number, every: number): Scheme {
  const order = new Map<number, number>();
  let now = 0;
  return {
    moves: 0,
    use(key) {
      now += 1;
      const movedAt = order.get(key);
      if (movedAt !== undefined) {
        if (now - movedAt < every) return true;
        order.delete(key);
        order.set(key, now);
        this.moves += 1;
        return true;
      }
      if (order.size >= capacity) order.delete(order.keys().next().value!);
      order.set(key, now);
      return false;
    },
  };
}

/** In the order of storing; `keepsUsed`: used entries move to the end (CLOCK). */
function fifo(capacity: number, keepsUsed: boolean): Scheme {
  const order = new Map<number, boolean>();
  return {
    moves: 0,
    use(key) {
      if (order.has(key)) {
        order.set(key, true);
        return true;
      }
      while (order.size >= capacity) {
        const [oldest, isUsed] = order.entries().next().value!;
        order.delete(oldest);
        if (!isUsed || !keepsUsed) continue;
        order.set(oldest, false);
        this.moves += 1;
      }
      order.set(key, false);
      return false;
    },
  };
}

/** In the order of storing, from a hand that passes over used entries and leaves them where they are. */
function sieve(capacity: number): Scheme {
  const isUsed = new Map<number, boolean>();
  let order: number[] = [];
  let hand = 0;
  return {
    moves: 0,
    use(key) {
      if (isUsed.has(key)) {
        isUsed.set(key, true);
        return true;
      }
      while (isUsed.size >= capacity) {
        if (hand >= order.length) {
          order = order.filter((each) => each >= 0);
          hand = 0;
        }
        const each = order[hand]!;
        if (each >= 0 && isUsed.get(each) === true) isUsed.set(each, false);
        else if (each >= 0) {
          isUsed.delete(each);
          order[hand] = -1;
        }
        hand += 1;
      }
      order.push(key);
      isUsed.set(key, false);
      return false;
    },
  };
}

/** S3-FIFO: new entries pass a tenth of the room, and move on where they were used; a ghost remembers the others. */
function s3fifo(capacity: number): Scheme {
  const small = new Map<number, number>();
  const main = new Map<number, number>();
  const ghost = new Set<number>();
  const smallRoom = Math.max(1, Math.floor(capacity / 10));
  const evictMain = (scheme: Scheme): void => {
    while (main.size > capacity - smallRoom) {
      const [key, uses] = main.entries().next().value!;
      main.delete(key);
      if (uses === 0) continue;
      main.set(key, uses - 1);
      scheme.moves += 1;
    }
  };
  return {
    moves: 0,
    use(key) {
      for (const queue of [small, main]) {
        const uses = queue.get(key);
        if (uses === undefined) continue;
        queue.set(key, Math.min(3, uses + 1));
        return true;
      }
      if (ghost.delete(key)) main.set(key, 0);
      else small.set(key, 0);
      while (small.size > smallRoom) {
        const [oldest, uses] = small.entries().next().value!;
        small.delete(oldest);
        if (uses > 1) {
          main.set(oldest, 0);
          this.moves += 1;
        } else {
          ghost.add(oldest);
          if (ghost.size > capacity) ghost.delete(ghost.values().next().value!);
        }
      }
      evictMain(this);
      return false;
    },
  };
}

const SCHEMES: Readonly<Record<string, (capacity: number) => Scheme>> = {
  LRU: (capacity) => lru(capacity, 1),
  'LRU, a move at most each tenth of a round': (capacity) => lru(capacity, capacity / 10),
  FIFO: (capacity) => fifo(capacity, false),
  CLOCK: (capacity) => fifo(capacity, true),
  SIEVE: sieve,
  'S3-FIFO': s3fifo,
};

/** Keys from `ITEMS` on are asked for once. */
type Workload = (next: () => number, random: () => number) => () => number;

const alone: Workload = (next) => next;

function amongOthers(share: number): Workload {
  return (next, random) => {
    let other = ITEMS;
    return () => (random() < share ? other++ : next());
  };
}

/** After every `every` requests, `length` keys in a row that are asked for once. */
function withScans(every: number, length: number): Workload {
  return (next) => {
    let other = ITEMS;
    let at = 0;
    return () => {
      at = (at + 1) % (every + length);
      return at < every ? next() : other++;
    };
  };
}

const WORKLOADS: Readonly<Record<string, Workload>> = {
  'Zipf alone': alone,
  'a third asked for once': amongOthers(1 / 3),
  'scans of 20,000': withScans(100_000, 20_000),
};

for (const [workload, make] of Object.entries(WORKLOADS)) {
  for (const exponent of [0.7, 0.9]) {
    for (const share of [0.01, 0.1]) {
      console.log(`\n${workload}, exponent ${exponent}, room for ${share * 100} % of the popular keys`);
      for (const [name, scheme] of Object.entries(SCHEMES)) {
        const random = randomNumbers(1);
        const next = make(zipfDraws(ITEMS, exponent, random), random);
        const simulated = scheme(ITEMS * share);
        let hits = 0;
        let asked = 0;
        for (let i = 0; i < REQUESTS; i += 1) {
          const key = next();
          const isHit = simulated.use(key);
          if (key >= ITEMS || i < REQUESTS / 4) continue;
          asked += 1;
          if (isHit) hits += 1;
        }
        const ratio = `${((hits / asked) * 100).toFixed(1)} %`.padStart(7);
        const moves = (simulated.moves / (REQUESTS / 1000)).toFixed(0).padStart(4);
        console.log(`${ratio} of popular requests hit, ${moves} moves per 1,000 requests: ${name}`);
      }
    }
  }
}
