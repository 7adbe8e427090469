/** Hexadecimal digits of an id: for the start, the worker of this start, and the entry of this worker. */
const BOOT_DIGITS = 4;
const INSTANCE_DIGITS = 3;
const COUNT_DIGITS = 9;

/**
 * Ids of entries: 16 hexadecimal digits, unique over starts and workers until 65,536 starts, or 4,096 workers of one
 * start, have passed. Throws when a worker has used its 16 ** 9 ids.
 */
export function entryIds(boot: number, instance: number): () => string {
  const prefix = digits(boot, BOOT_DIGITS) + digits(instance, INSTANCE_DIGITS);
  let count = 0;
  return () => {
    count += 1;
    if (count >= 16 ** COUNT_DIGITS) throw new Error('no entry ids are left in this worker');
    return prefix + digits(count, COUNT_DIGITS);
  };
}

function digits(value: number, length: number): string {
  return (value % 16 ** length).toString(16).padStart(length, '0');
}
