/**
 * A place in a cluster's write-ahead log: `0/16B3748@7445300000000000000:1`, an LSN of that system on that timeline. The
 * LSN is the end of a commit record or of what was decoded after it.
 */
export interface PostgresPosition {
  readonly lsn: bigint;
  /** The cluster's own number, which no other cluster has. */
  readonly system: string;
  /** Counted up when a standby is promoted or a backup restored to a point in time. */
  readonly timeline: string;
}

export function formatPosition({ lsn, system, timeline }: PostgresPosition): string {
  return `${formatLsn(lsn)}@${system}:${timeline}`;
}

/** null: not what `formatPosition` writes. */
export function parsePosition(text: string): PostgresPosition | null {
  const [, lsnText, system, timeline] = /^([^@]+)@(\d+):(\d+)$/.exec(text) ?? [];
  const lsn = parseLsn(lsnText ?? '');
  if (lsn === null || system === undefined || timeline === undefined) return null;
  return { lsn, system, timeline };
}

/** The LSN alone, as Postgres writes it. */
export function showPosition(text: string): string {
  return text.replace(/@.*$/s, '');
}

/** Takes bare LSNs too, which are of whichever system the other one is of. */
export function comparePositions(a: string, b: string): number | null {
  const [left, right] = [lsnOf(a), lsnOf(b)];
  if (left === null || right === null || !isSameLog(a, b)) return null;
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

function lsnOf(text: string): bigint | null {
  return text.includes('@') ? (parsePosition(text)?.lsn ?? null) : parseLsn(text);
}

function isSameLog(a: string, b: string): boolean {
  if (!a.includes('@') || !b.includes('@')) return true;
  return a.slice(a.indexOf('@')) === b.slice(b.indexOf('@'));
}

/** Two halves of 32 bits in hexadecimal, without leading zeros. */
export function formatLsn(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffff_ffffn).toString(16)}`.toUpperCase();
}

export function parseLsn(text: string): bigint | null {
  const [, high, low] = /^([0-9a-f]{1,8})\/([0-9a-f]{1,8})$/i.exec(text) ?? [];
  if (high === undefined || low === undefined) return null;
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}
