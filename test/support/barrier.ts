/**
 * Tests wait for these instead of sleeping: a gate that the test opens, and a condition that is checked
 * repeatedly.
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

/** Less than the time limit of a test, so that a condition that never holds fails with its name. */
const PATIENCE_MS = 50_000;
/** After this many turns the condition depends on another thread or process, which needs the processor. */
const BUSY_TURNS = 1_000;

/**
 * Resolves once `predicate` holds. It is checked after each turn of the event loop, and after many turns each
 * millisecond.
 */
export async function until(predicate: () => boolean, what = 'the condition'): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS;
  for (let turn = 0; performance.now() < endMs; turn += 1) {
    if (predicate()) return;
    await (turn < BUSY_TURNS ? nextTurn() : oneMillisecond());
  }
  throw new Error(`${what} did not come true within ${PATIENCE_MS} ms`);
}

/** Lets everything run that is ready now: readable sockets, settled promises. */
export async function settle(turns = 20): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await nextTurn();
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function oneMillisecond(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}
