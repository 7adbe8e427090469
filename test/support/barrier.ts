/**
 * What tests wait for instead of sleeping: a gate that the test opens, and a condition that is looked at again
 * and again.
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

/** Of the limit of a test, so much that a condition which never comes fails with its name. */
const PATIENCE_MS = 50_000;
/** After so many turns what is waited for is somebody else's doing, who needs the processor. */
const BUSY_TURNS = 1_000;

/** Resolves once `predicate` holds, looking after each turn of the event loop, and each millisecond after many. */
export async function until(predicate: () => boolean, what = 'the condition'): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS;
  for (let turn = 0; performance.now() < endMs; turn += 1) {
    if (predicate()) return;
    await (turn < BUSY_TURNS ? nextTurn() : oneMillisecond());
  }
  throw new Error(`${what} did not come true within ${PATIENCE_MS} ms`);
}

/** Lets everything run that is ready now: sockets read, promises settled. */
export async function settle(turns = 20): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await nextTurn();
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function oneMillisecond(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}
