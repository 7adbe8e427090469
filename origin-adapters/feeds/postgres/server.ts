import type { Client } from 'pg';
import type { FeedFailure } from '../feed.ts';
import { failed } from './failure.ts';
import { formatLsn, parseLsn, type Commit, type PostgresPosition } from './position.ts';

/** The server's and the slot's state before anything is read. */
export interface ReplicationStanding {
  readonly system: string;
  readonly timeline: string;
  /** The OIDs of the publications. */
  readonly publications: string;
  /** Whether the server can send messages of applications along with rows. */
  readonly sendsMessages: boolean;
  /** The end of the log: every later commit comes after it. */
  readonly insertLsn: bigint;
  /** The LSN up to which the slot's client has confirmed that it needs nothing. */
  readonly confirmedLsn: bigint;
}

export type Inspection =
  | { readonly kind: 'ready'; readonly standing: ReplicationStanding }
  /** Another connection holds the slot, possibly an old one of this feed whose end the server has not noticed. */
  | { readonly kind: 'held'; readonly pid: string }
  | { readonly kind: 'failed'; readonly failure: FeedFailure };

/** `control`: an ordinary connection; `replication`: one of the replication protocol. */
export async function inspect(
  control: Client,
  replication: Client,
  slot: string,
  publications: readonly string[],
): Promise<Inspection> {
  const server = await lookAtServer(control);
  if (server.kind === 'failed') return server;
  const published = await lookAtPublications(control, publications);
  if (published.kind === 'failed') return published;
  const row = (await control.query(slotQuery, [slot])).rows[0];
  const slotIssue = slotProblem(slot, row);
  if (row === undefined || slotIssue !== null) return { kind: 'failed', failure: slotIssue! };
  if (typeof row['active_pid'] === 'string') return { kind: 'held', pid: row['active_pid'] };
  const { rows } = await replication.query('IDENTIFY_SYSTEM');
  return {
    kind: 'ready',
    standing: {
      system: String(rows[0]?.['systemid']),
      timeline: String(rows[0]?.['timeline']),
      publications: published.numbers,
      sendsMessages: server.version >= 140_000,
      insertLsn: (await logEnd(control)).insertLsn,
      confirmedLsn: lsnOf(row['confirmed']),
    },
  };
}

export type Start =
  /** Streaming begins with the last seen commit. The record at its place shows whether the log is the same. */
  | { readonly kind: 'resume'; readonly lsn: bigint; readonly commit: Commit }
  | { readonly kind: 'gap'; readonly reason: string };

/**
 * Whether the position can be resumed: the log is of the same server and reaches as far, and the slot retains the
 * last seen commit and everything after it. A slot has no time of creation, but a recreated one has confirmed more
 * than the position.
 */
export function decideStart(after: PostgresPosition | null, standing: ReplicationStanding): Start {
  if (after === null) return { kind: 'gap', reason: 'no position' };
  if (after.system !== standing.system) return { kind: 'gap', reason: 'it is another server' };
  if (after.timeline !== standing.timeline) {
    const reason = `the server is on timeline ${standing.timeline}, not ${after.timeline}: promoted or restored`;
    return { kind: 'gap', reason };
  }
  const { commit } = after;
  if (commit === null) {
    return { kind: 'gap', reason: 'the position has no commit by which the log can be recognised' };
  }
  if (after.publications !== standing.publications) {
    return { kind: 'gap', reason: 'a publication was recreated' };
  }
  if (standing.confirmedLsn > commit.beginLsn) {
    const confirmed = `the slot has confirmed ${formatLsn(standing.confirmedLsn)}`;
    return { kind: 'gap', reason: `${confirmed}, beyond ${formatLsn(commit.beginLsn)}: recreated or moved` };
  }
  if (after.lsn > standing.insertLsn) {
    return { kind: 'gap', reason: `the server's log ends before ${formatLsn(after.lsn)}: restored` };
  }
  return { kind: 'resume', lsn: after.lsn, commit };
}

/**
 * The end of the log: all visible commits are before it. What is not flushed yet is not sent, and may stay unflushed
 * until the next commit.
 */
export async function logEnd(
  control: Client,
): Promise<{ readonly insertLsn: bigint; readonly isFlushed: boolean }> {
  const { rows } = await control.query(
    'SELECT pg_current_wal_insert_lsn()::text AS inserted, pg_current_wal_flush_lsn()::text AS flushed',
  );
  const insertLsn = lsnOf(rows[0]?.['inserted']);
  return { insertLsn, isFlushed: lsnOf(rows[0]?.['flushed']) >= insertLsn };
}

/** Commits a message of Weir, which flushes the log and is seen as a commit. Returns its LSN. */
export async function leaveMark(control: Client): Promise<bigint> {
  const { rows } = await control.query("SELECT pg_logical_emit_message(true, 'weir', '')::text AS mark");
  return lsnOf(rows[0]?.['mark']);
}

const slotQuery = `
  SELECT slot_type, plugin, database = current_database() AS is_here, active_pid::text, wal_status,
         confirmed_flush_lsn::text AS confirmed
  FROM pg_replication_slots WHERE slot_name = $1`;

function slotProblem(slot: string, row: Readonly<Record<string, unknown>> | undefined): FeedFailure | null {
  const create = `SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`;
  if (row === undefined) return failed('missing', 'slowly', `there is no slot ${slot}: ${create}`);
  if (row['slot_type'] !== 'logical' || row['plugin'] !== 'pgoutput') {
    return failed('protocol', 'slowly', `slot ${slot} is not a logical slot of pgoutput: ${create}`);
  }
  if (row['is_here'] !== true) return failed('missing', 'slowly', `slot ${slot} is of another database`);
  if (row['wal_status'] === 'lost') {
    const drop = `SELECT pg_drop_replication_slot('${slot}')`;
    return failed(
      'missing',
      'slowly',
      `slot ${slot} was lost (max_slot_wal_keep_size): ${drop}, then ${create}`,
    );
  }
  return null;
}

type Failed = { readonly kind: 'failed'; readonly failure: FeedFailure };

async function lookAtServer(
  control: Client,
): Promise<{ readonly kind: 'fit'; readonly version: number } | Failed> {
  const { rows } = await control.query(
    `SELECT pg_is_in_recovery() AS is_standby, current_setting('wal_level') AS wal_level,
            current_setting('server_version_num') AS version`,
  );
  if (rows[0]?.['is_standby'] === true) {
    const message = 'the server is a standby: name the primary in url';
    return { kind: 'failed', failure: failed('protocol', 'slowly', message) };
  }
  const level = String(rows[0]?.['wal_level']);
  if (level === 'logical') return { kind: 'fit', version: Number(rows[0]?.['version']) };
  const message = `wal_level is ${level}: set it to logical and restart Postgres`;
  return { kind: 'failed', failure: failed('protocol', 'slowly', message) };
}

async function lookAtPublications(
  control: Client,
  publications: readonly string[],
): Promise<{ readonly kind: 'there'; readonly numbers: string } | Failed> {
  const { rows } = await control.query(
    `SELECT wanted, oid::text AS number
     FROM unnest($1::text[]) WITH ORDINALITY AS list(wanted, place) LEFT JOIN pg_publication ON pubname = wanted
     ORDER BY place`,
    [publications],
  );
  const missing = rows.filter((row) => row['number'] === null).map((row) => String(row['wanted']));
  if (missing.length === 0) {
    return { kind: 'there', numbers: rows.map((row) => String(row['number'])).join('.') };
  }
  const create = `CREATE PUBLICATION ${missing[0]} FOR TABLE …`;
  const message = `there is no publication ${missing.join(', ')}: ${create}; what changed before is then a gap`;
  return { kind: 'failed', failure: failed('missing', 'slowly', message) };
}

function lsnOf(value: unknown): bigint {
  const lsn = parseLsn(String(value));
  if (lsn === null) throw new Error(`Postgres gave ${String(value)} for a place in its log`);
  return lsn;
}
