/**
 * A position in a cluster's write-ahead log, with the properties by which the log is recognised:
 * `0/16B3748@7445300000000000000:1#16400.16401#0/16B3700-0/16B3730-734-848000000000000` is an LSN of that system on
 * that timeline, the publications, and the last commit seen up to there. The LSN is the end of a commit record, or of
 * what was decoded after it.
 */
export interface PostgresPosition {
  readonly lsn: bigint;
  /** The system identifier, which is unique to a cluster. */
  readonly system: string;
  /** Incremented when a standby is promoted, or a backup is restored to a point in time. */
  readonly timeline: string;
  /** The OIDs of the publications, which change if a publication is recreated; empty: unknown. */
  readonly publications: string;
  /** The last seen commit, which the slot retains so that it is sent again; null: none. */
  readonly commit: Commit | null;
}

/** The properties that distinguish a transaction's commit from every other. */
export interface Commit {
  /** The beginning of the commit's record in the log. */
  readonly beginLsn: bigint;
  readonly endLsn: bigint;
  readonly xid: number;
  /** By the server's clock, in microseconds since 2000. */
  readonly atMicros: bigint;
}

export function formatPosition({ lsn, system, timeline, publications, commit }: PostgresPosition): string {
  const proof =
    commit === null
      ? ''
      : [formatLsn(commit.beginLsn), formatLsn(commit.endLsn), commit.xid, commit.atMicros].join('-');
  return `${formatLsn(lsn)}@${system}:${timeline}#${publications}#${proof}`;
}

/** Null: the text is not a position of this feed. */
export function parsePosition(text: string): PostgresPosition | null {
  const [, lsnText, system, timeline, publications = '', proof = ''] =
    /^([^@]+)@(\d+):(\d+)(?:#([\d.]*)#([^#]*))?$/.exec(text) ?? [];
  const lsn = parseLsn(lsnText ?? '');
  if (lsn === null || system === undefined || timeline === undefined) return null;
  const commit = parseCommit(proof);
  if (commit === null && proof !== '') return null;
  return { lsn, system, timeline, publications, commit };
}

function parseCommit(text: string): Commit | null {
  const [, begin, end, xid, at] = /^([^-]+)-([^-]+)-(\d{1,10})-(\d{1,19})$/.exec(text) ?? [];
  const [beginLsn, endLsn] = [parseLsn(begin ?? ''), parseLsn(end ?? '')];
  if (beginLsn === null || endLsn === null) return null;
  return { beginLsn, endLsn, xid: Number(xid), atMicros: BigInt(at!) };
}

/** The LSN alone, as Postgres writes it. */
export function showPosition(text: string): string {
  return text.split('@', 1)[0]!;
}

/** Also takes plain LSNs, which are assumed to be of the same system. */
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
  return logOf(a) === logOf(b);
}

function logOf(text: string): string {
  return text.replace(/^[^@]*@/, '').split('#', 1)[0]!;
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
