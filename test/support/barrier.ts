/**
 * What tests wait for instead of sleeping: a gate that the test opens, and a condition that is looked at once a turn
 * of the event loop.
 */
export interface Gate {
  readonly promise: Promise<void>;
  open(): void;
}

/** A promise that the test resolves: `await gate.promise` in the script, `gate.open()` in the test. */
export function gate(): Gate {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { promise, open: resolve };
}

/**
 * Resolves once `predicate` holds, looking after each turn of the event loop. The bound is in turns and far beyond
 * what any test needs; it is there so that a condition that never comes fails with a name.
 */
export async function until(
  predicate: () => boolean,
  what = 'the condition',
  turns = 5_000_000,
): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    if (predicate()) return;
    await nextTurn();
  }
  throw new Error(`${what} did not come true within ${turns} turns`);
}

/** Lets everything run that is ready now: sockets read, promises settled. */
export async function settle(turns = 20): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await nextTurn();
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
