import { afterAll, beforeAll } from 'vitest';
import type { Feed } from '../../origin-adapters/feeds/feed.ts';
import { postgresFeed } from '../../origin-adapters/feeds/postgres.ts';
import {
  contractMaxSilenceMs,
  describeFeed,
  type FeedService,
  type PublishedRow,
} from '../contracts/feed-contract.ts';
import { testFeedDeps } from '../contracts/feed-reader.ts';
import { PostgresServer, postgresRole } from '../support/postgres-server.ts';
import { requireProgram } from '../support/programs.ts';

const initdb = requireProgram('initdb');
const postgres = requireProgram('postgres');
const skip = [initdb, postgres].find((program) => program.kind === 'missing')?.reason ?? null;

let server: PostgresServer;

beforeAll(async () => {
  if (skip === null) server = await PostgresServer.start(initdb, postgres);
});

afterAll(() => server?.stop());

describeFeed('postgres', { adapter: postgresFeed, skip, start });

/** A database with a table, its publication and a slot. */
async function start(): Promise<FeedService> {
  const database = await server.createDatabase();
  await server.run(
    database,
    'CREATE TABLE rows (id text PRIMARY KEY, text text)',
    'CREATE PUBLICATION changes FOR ALL TABLES',
    createSlot(database),
  );
  return {
    feed: () => feedOf({ database }),
    publish: async (transactions) => {
      await server.runAll(database, insertions(transactions));
    },
    trim: async () => {
      await server.run(
        database,
        `SELECT pg_replication_slot_advance('${database}', pg_current_wal_insert_lsn())`,
      );
    },
    recreate: async () => {
      await dropSlot(database);
      await server.run(database, createSlot(database));
    },
    restart: async () => {
      await server.end();
      await server.begin();
    },
    cut: async () => {
      await server.run(
        database,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'weir'",
      );
    },
    blackhole: () => server.freeze(),
    resume: () => server.thaw(),
    stop: async () => {
      await server.thaw();
      await server.dropDatabase(database);
    },
  };
}

function* insertions(transactions: readonly (readonly PublishedRow[])[]): Generator<string> {
  for (const rows of transactions) {
    yield 'BEGIN';
    for (const { id, text } of rows) yield `INSERT INTO rows VALUES ('${id}', '${text ?? ''}')`;
    yield 'COMMIT';
  }
}

function createSlot(slot: string): string {
  return `SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`;
}

/** Whoever holds it, and although a feed takes it again as soon as it is let go. */
async function dropSlot(slot: string): Promise<void> {
  const drop = `
    SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots
    WHERE slot_name = '${slot}' AND active_pid IS NOT NULL;
    SELECT pg_drop_replication_slot('${slot}')`;
  for (;;) {
    try {
      await server.run(slot, drop);
      return;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === '55006')) throw error;
    }
  }
}

/** The slot and the database are named alike. */
function feedOf({
  database,
  ...options
}: {
  readonly database: string;
  readonly [name: string]: unknown;
}): Feed {
  return postgresFeed.create(
    {
      name: 'feed',
      type: 'postgres',
      format: 'json',
      maxSilenceMs: contractMaxSilenceMs,
      readLagMs: 0,
      map: [],
      options: postgresFeed.schema.parse({
        url: `postgres://${postgresRole.user}@127.0.0.1:${server.port}/${database}`,
        password: postgresRole.password,
        slot: database,
        publication: 'changes',
        ...options,
      }),
    },
    testFeedDeps,
  );
}
