/** The paths that a load requests, in order. A seed always gives the same paths. */

export type PathPlan =
  | { readonly kind: 'same'; readonly path: string }
  /** `prefix` and a number from `from` on, each once. */
  | { readonly kind: 'in-turn'; readonly prefix: string; readonly from: number }
  /** One of `items` paths at random, all with the same probability. */
  | { readonly kind: 'uniform'; readonly prefix: string; readonly items: number; readonly seed: number }
  /** One of `items` paths at random; the n-th has a probability proportional to 1/n^exponent. */
  | {
      readonly kind: 'zipf';
      readonly prefix: string;
      readonly items: number;
      readonly exponent: number;
      readonly seed: number;
    };

export function pathSource(plan: PathPlan): () => string {
  switch (plan.kind) {
    case 'same':
      return () => plan.path;
    case 'in-turn': {
      let at = plan.from;
      return () => `${plan.prefix}${at++}`;
    }
    case 'uniform': {
      const random = randomNumbers(plan.seed);
      return () => `${plan.prefix}${Math.floor(random() * plan.items)}`;
    }
    case 'zipf': {
      const random = randomNumbers(plan.seed);
      const draw = zipfDraws(plan.items, plan.exponent, random);
      return () => `${plan.prefix}${draw()}`;
    }
    default:
      return plan satisfies never;
  }
}

/** Returns a generator of pseudo-random numbers from 0 to below 1 (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Draws numbers below `items`; the n-th of them with a probability proportional to 1/n^exponent. */
export function zipfDraws(items: number, exponent: number, random: () => number): () => number {
  const shares = zipfShares(items, exponent);
  return () => indexOfShare(shares, random());
}

/** The cumulative probabilities; the last is 1. */
function zipfShares(items: number, exponent: number): Float64Array {
  const shares = new Float64Array(items);
  let sum = 0;
  for (let i = 0; i < items; i += 1) {
    sum += 1 / (i + 1) ** exponent;
    shares[i] = sum;
  }
  return shares.map((share) => share / sum);
}

/** Returns the first index whose cumulative probability is above the number. */
function indexOfShare(shares: Float64Array, number: number): number {
  let low = 0;
  let high = shares.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (shares[middle]! > number) high = middle;
    else low = middle + 1;
  }
  return low;
}
