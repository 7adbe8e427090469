import { afterAll, afterEach, beforeAll } from 'vitest';
import type { Feed, FeedDeps, FeedEvent } from '../../origin-adapters/feeds/feed.ts';
import { postgresFeed } from '../../origin-adapters/feeds/postgres.ts';
import { contractMaxSilenceMs } from '../contracts/feed-contract.ts';
import { FeedFollower } from '../contracts/feed-follower.ts';
import { readFeed, testFeedDeps, type FeedReader } from '../contracts/feed-reader.ts';
import { PostgresServer, postgresRole } from '../support/postgres-server.ts';
import { requireProgram } from '../support/programs.ts';

const initdb = requireProgram('initdb');
const postgres = requireProgram('postgres');

/** The reason why Postgres can't run here; null if it can. */
export const postgresSkip = [initdb, postgres].find((program) => program.kind === 'missing')?.reason ?? null;

/**
 * One server for a whole test file, and for each test a database of its own with a publication `changes` of
 * every table and a slot with the database's name. Everything that a test has opened on it is closed after
 * the test.
 */
export class PostgresScene {
  #server: PostgresServer | null = null;
  #database = '';
  #opened: { stop(): Promise<void> }[] = [];

  static forThisFile(): PostgresScene {
    const scene = new PostgresScene();
    beforeAll(async () => {
      if (postgresSkip === null) scene.#server = await PostgresServer.start(initdb, postgres);
    });
    afterEach(() => scene.#end());
    afterAll(() => scene.#server?.stop());
    return scene;
  }

  get server(): PostgresServer {
    return this.#server!;
  }

  get database(): string {
    return this.#database;
  }

  /** `tables`: statements that create tables. */
  async begin(...tables: readonly string[]): Promise<void> {
    this.#database = await this.server.createDatabase();
    await this.run(...tables, 'CREATE PUBLICATION changes FOR ALL TABLES');
    await this.createSlot();
  }

  /**
   * Runs statements in order, each a transaction unless it says BEGIN; returns the result of the last one.
   */
  async run(...statements: readonly string[]): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return (await this.server.run(this.#database, ...statements)).rows;
  }

  async createSlot(): Promise<void> {
    await this.run(`SELECT pg_create_logical_replication_slot('${this.#database}', 'pgoutput')`);
  }

  /** Drops the slot, also if another connection holds it. */
  async dropSlot(): Promise<void> {
    await this.#takeSlot(`SELECT pg_drop_replication_slot('${this.#database}')`);
  }

  /** Advances the slot to the end of the log, as another client might. */
  async advanceSlot(): Promise<void> {
    await this.#takeSlot(
      `SELECT pg_replication_slot_advance('${this.#database}', pg_current_wal_insert_lsn())`,
    );
  }

  /** The slot's state on the server. */
  async slot(): Promise<Readonly<Record<string, unknown>>> {
    const rows = await this.run(
      `SELECT wal_status, confirmed_flush_lsn::text AS confirmed, active_pid FROM pg_replication_slots
       WHERE slot_name = '${this.#database}'`,
    );
    return rows[0]!;
  }

  /** A feed of the test's database, with these options changed. */
  feed(
    options: Readonly<Record<string, unknown>> = {},
    { maxSilenceMs = contractMaxSilenceMs, ...deps }: Partial<FeedDeps & { maxSilenceMs: number }> = {},
  ): Feed {
    return postgresFeed.create(
      {
        name: 'feed',
        type: 'postgres',
        format: 'json',
        maxSilenceMs,
        readLagMs: 0,
        versionField: null,
        map: [],
        options: postgresFeed.schema.parse({
          url: this.urlOf(this.#database),
          password: postgresRole.password,
          slot: this.#database,
          publication: 'changes',
          ...options,
        }),
      },
      { ...testFeedDeps, ...deps },
    );
  }

  urlOf(database: string): string {
    return `postgres://${postgresRole.user}@127.0.0.1:${this.server.port}/${database}`;
  }

  read(feed: Feed, after: string | null): FeedReader {
    const reader = readFeed(feed, after);
    this.#opened.push(reader);
    return reader;
  }

  /** A reader that has begun at the head. */
  async attach(feed: Feed = this.feed()): Promise<FeedReader> {
    const reader = this.read(feed, null);
    await reader.until((events) => events.some((event) => event.kind === 'gap'));
    return reader;
  }

  /** Weir's own runner on the feed. */
  follow(feed: Feed, position: string | null): FeedFollower {
    const follower = new FeedFollower(postgresFeed, feed, position, contractMaxSilenceMs);
    this.#opened.push(follower);
    return follower;
  }

  /** The first event, of a feed that is not followed further. */
  async firstOf(feed: Feed, after: string | null = null): Promise<FeedEvent> {
    const reader = this.read(feed, after);
    const events = await reader.until((all) => all.length > 0);
    await reader.stop();
    return events[0]!;
  }

  async #takeSlot(statement: string): Promise<void> {
    const letGo = `SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots
      WHERE slot_name = '${this.#database}' AND active_pid IS NOT NULL`;
    await this.server.takeSlots(this.#database, `${letGo}; ${statement}`);
  }

  async #end(): Promise<void> {
    await Promise.all(this.#opened.map((one) => one.stop()));
    this.#opened = [];
    if (this.#database === '') return;
    await this.server.thaw();
    await this.server.dropDatabase(this.#database);
    this.#database = '';
  }
}
