import type { Client } from 'pg';
import type { FeedFailure } from '../feed.ts';
import { failed } from './failure.ts';
import { formatLsn, parseLsn, type PostgresPosition } from './position.ts';

/** What the server says of itself and of the slot before anything is followed. */
export interface Standing {
  readonly system: string;
  readonly timeline: string;
  /** Where its log ends: every commit from now on lies behind it. */
  readonly insertLsn: bigint;
  /** Up to here the slot's owner has said that it needs nothing any more. */
  readonly confirmedLsn: bigint;
}

export type Inspection =
  | { readonly kind: 'ready'; readonly standing: Standing }
  /** Another connection holds the slot, perhaps an old one of ours whose end the server has not noticed. */
  | { readonly kind: 'held'; readonly pid: string }
  | { readonly kind: 'failed'; readonly failure: FeedFailure };

/** `control`: an ordinary connection; `replication`: one of the replication protocol. */
export async function inspect(
  control: Client,
  replication: Client,
  slot: string,
  publications: readonly string[],
): Promise<Inspection> {
  const problem = (await serverProblem(control)) ?? (await publicationProblem(control, publications));
  if (problem !== null) return { kind: 'failed', failure: problem };
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
      insertLsn: (await logEnd(control)).insertLsn,
      confirmedLsn: lsnOf(row['confirmed']),
    },
  };
}

/**
 * Whether the place can be resumed: the log is the same and reaches as far, and the slot still keeps everything behind
 * it. A slot has no time of creation; one made anew under the same name has confirmed more than we have.
 */
export function decideStart(
  after: PostgresPosition | null,
  standing: Standing,
): { readonly kind: 'resume'; readonly lsn: bigint } | { readonly kind: 'gap'; readonly reason: string } {
  if (after === null) return { kind: 'gap', reason: 'no position' };
  if (after.system !== standing.system) return { kind: 'gap', reason: 'the server is another one' };
  if (after.timeline !== standing.timeline) {
    const reason = `the server is on timeline ${standing.timeline}, not ${after.timeline}: promoted or restored`;
    return { kind: 'gap', reason };
  }
  if (standing.confirmedLsn > after.lsn) {
    const confirmed = `the slot has confirmed ${formatLsn(standing.confirmedLsn)}`;
    return { kind: 'gap', reason: `${confirmed}, beyond ${formatLsn(after.lsn)}: recreated or moved` };
  }
  if (after.lsn > standing.insertLsn) {
    return { kind: 'gap', reason: `the server's log ends before ${formatLsn(after.lsn)}: restored` };
  }
  return { kind: 'resume', lsn: after.lsn };
}

/**
 * Where the log ends: commits that are visible now lie before it. What of it is not flushed yet is not sent either, and
 * may stay so for as long as nothing is committed.
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

/** Commits a message that nobody asked pgoutput for, which flushes the log up to it. */
export async function flushLog(control: Client): Promise<void> {
  await control.query("SELECT pg_logical_emit_message(true, 'weir', '')");
}

const slotQuery = `
  SELECT slot_type, plugin, database = current_database() AS is_here, active_pid::text, wal_status,
         confirmed_flush_lsn::text AS confirmed
  FROM pg_replication_slots WHERE slot_name = $1`;

function slotProblem(slot: string, row: Readonly<Record<string, unknown>> | undefined): FeedFailure | null {
  const create = `SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`;
  if (row === undefined) return failed('missing', 'slowly', `there is no slot ${slot}: ${create}`);
  if (row['slot_type'] !== 'logical' || row['plugin'] !== 'pgoutput') {
    return failed('protocol', 'slowly', `slot ${slot} is no logical one of pgoutput: ${create}`);
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

async function serverProblem(control: Client): Promise<FeedFailure | null> {
  const { rows } = await control.query(
    "SELECT pg_is_in_recovery() AS is_standby, current_setting('wal_level') AS wal_level",
  );
  if (rows[0]?.['is_standby'] === true) {
    return failed('protocol', 'slowly', 'the server is a standby: name the primary in url');
  }
  const level = String(rows[0]?.['wal_level']);
  if (level === 'logical') return null;
  return failed('protocol', 'slowly', `wal_level is ${level}: set it to logical and restart Postgres`);
}

async function publicationProblem(
  control: Client,
  publications: readonly string[],
): Promise<FeedFailure | null> {
  const { rows } = await control.query(
    `SELECT wanted FROM unnest($1::text[]) AS wanted
     WHERE NOT EXISTS (SELECT FROM pg_publication WHERE pubname = wanted)`,
    [publications],
  );
  if (rows.length === 0) return null;
  const names = rows.map((row) => String(row['wanted'])).join(', ');
  return failed('missing', 'slowly', `there is no publication ${names}: CREATE PUBLICATION … FOR TABLE …`);
}

function lsnOf(value: unknown): bigint {
  const lsn = parseLsn(String(value));
  if (lsn === null) throw new Error(`Postgres gave ${String(value)} for a place in its log`);
  return lsn;
}
