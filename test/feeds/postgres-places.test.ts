import { describe, expect, it } from 'vitest';
import type { Feed, FeedEvent } from '../../origin-adapters/feeds/feed.ts';
import { formatLsn, parsePosition } from '../../origin-adapters/feeds/postgres/position.ts';
import { postgresFeed } from '../../origin-adapters/feeds/postgres.ts';
import { changesOf, headsOf, idsOf } from '../contracts/feed-contract.ts';
import { PostgresScene, postgresSkip } from './postgres-scene.ts';

const scene = PostgresScene.forThisFile();

async function begin(...tables: readonly string[]): Promise<void> {
  await scene.begin('CREATE TABLE rows (id int PRIMARY KEY, text text)', ...tables);
}

function insert(...ids: readonly number[]): Promise<unknown> {
  return scene.run(...ids.map((id) => `INSERT INTO rows VALUES (${id})`));
}

/** Proofs and confirmations every two thirds of a second. */
const often = { maxSilenceMs: 2_000 };

/** Follows from the head until these rows were read, and returns the position after the last one. */
async function positionAfter(...ids: readonly number[]): Promise<string> {
  const reader = await scene.attach();
  await insert(...ids);
  const events = await reader.until((all) => idsOf(all).length >= ids.length);
  await reader.stop();
  return rowsIn(events).at(-1)!.position;
}

const rowsIn = (events: readonly FeedEvent[]) =>
  changesOf(events).filter((event) => event.changes.length > 0);

async function confirmed(): Promise<string> {
  return String((await scene.slot())['confirmed']);
}

function lastHead(events: readonly FeedEvent[]): string {
  return headsOf(events).at(-1)!.position!;
}

describe.skipIf(postgresSkip !== null)('the position of a Postgres feed', () => {
  it('is confirmed up to its last transaction, which is sent again with the next ones', async () => {
    await begin();
    const feed = scene.feed();
    const reader = await scene.attach(feed);
    await insert(1, 2, 3);
    const [first] = rowsIn(await reader.until((all) => idsOf(all).length >= 3));
    feed.acknowledge(first!.position);
    const kept = formatLsn(parsePosition(first!.position)!.commit!.beginLsn);
    await untilConfirmed(kept);
    expect(await confirmed()).toBe(kept);
    expect(postgresFeed.comparePositions(kept, first!.position)).toBeLessThan(0);
    await reader.stop();
    const again = scene.read(scene.feed(), first!.position);
    expect(idsOf(await again.until((all) => idsOf(all).length >= 2))).toEqual(['2', '3']);
    expect(again.events.filter((event) => event.kind === 'gap')).toEqual([]);
  });

  it('is not confirmed by transactions that were only received', async () => {
    await begin();
    const before = await confirmed();
    const reader = await scene.attach(scene.feed({}, often));
    await insert(1, 2);
    await reader.until((all) => idsOf(all).length >= 2 && headsOf(all).length >= 5);
    expect(await confirmed()).toBe(before);
  });

  it('advances, and releases the log, while only unpublished tables change', async () => {
    await scene.begin('CREATE TABLE rows (id int PRIMARY KEY)');
    await scene.run(
      'DROP PUBLICATION changes',
      'CREATE TABLE other (id int)',
      'CREATE PUBLICATION changes FOR TABLE rows',
    );
    const position = await positionAfter(1);
    await scene.run('INSERT INTO other SELECT generate_series(1, 10000)');
    const reader = scene.read(scene.feed(), position);
    const events = await reader.until((all) => headsOf(all).length > 0);
    expect(idsOf(events)).toEqual([]);
    expect(postgresFeed.comparePositions(lastHead(events), position)).toBeGreaterThan(0);
    await reader.stop();

    const [{ lsn } = {}] = await scene.run('SELECT pg_current_wal_insert_lsn()::text AS lsn');
    const follower = scene.follow(scene.feed(), position);
    await follower.until(() => reaches(follower.position!, String(lsn)));
    expect(follower.gaps).toBe(0);
    await untilConfirmed(String(lsn));
  });

  it('is marked in the log as often as the limit says, and not while nothing changes', async () => {
    await scene.begin('CREATE TABLE rows (id int PRIMARY KEY)');
    await scene.run(
      'DROP PUBLICATION changes',
      'CREATE TABLE other (text text)',
      'CREATE PUBLICATION changes FOR TABLE rows',
    );
    const feed = scene.feed({ 'mark-after': '64KiB' }, { maxSilenceMs: 300 });
    const reader = await scene.attach(feed);
    const lastCommit = (): bigint => parsePosition(lastHead(reader.events))!.commit!.beginLsn;
    const heads = async (count: number): Promise<void> => {
      const before = headsOf(reader.events).length;
      await reader.until((all) => headsOf(all).length >= before + count);
    };
    await heads(2);
    // The server itself writes records of its transactions every 15 seconds and flushes them late, which also
    // takes a mark.
    for (let first = 0n; first !== lastCommit();) {
      first = lastCommit();
      await heads(5);
    }
    for (let round = 0; round < 3; round++) {
      const before = lastCommit();
      await scene.run("INSERT INTO other SELECT repeat('x', 100) FROM generate_series(1, 1000)");
      await reader.until((all) => parsePosition(lastHead(all))!.commit!.beginLsn > before);
    }
  });

  it('is proved to be the head while another transaction is open', async () => {
    await begin();
    const reader = await scene.attach(scene.feed({}, often));
    const other = await scene.server.connect(scene.database);
    await other.query('BEGIN');
    await other.query('INSERT INTO rows VALUES (1)');
    const before = headsOf(reader.events).length;
    await reader.until((all) => headsOf(all).length >= before + 3);
    await other.query('COMMIT');
    await reader.until((all) => idsOf(all).includes('1'));
    await other.end();
  });

  it('is proved to be the head only after an unflushed commit', async () => {
    await begin();
    const reader = await scene.attach();
    await scene.run('SET synchronous_commit = off', 'INSERT INTO rows VALUES (1)');
    const askedAtMs = performance.now();
    const events = await reader.until((all) =>
      headsOf(all).some((head) => head.askedAtMonotonicMs > askedAtMs),
    );
    expect(idsOf(events)).toEqual(['1']);
  });

  it('lets the server stop, which waits until everything it sent is confirmed', async () => {
    await begin();
    const feed = scene.feed({}, { maxSilenceMs: 60_000 });
    const reader = await scene.attach(feed);
    const [{ lsn } = {}] = await scene.run("SELECT pg_logical_emit_message(true, 'other', '')::text AS lsn");
    const stopped = scene.server.end();
    const events = await reader.until((all) => {
      for (const event of changesOf(all)) feed.acknowledge(event.position);
      return all.at(-1)!.kind === 'failed';
    });
    await stopped;
    await scene.server.begin();
    expect(idsOf(events)).toEqual([]);
    const last = changesOf(events).at(-1)!;
    expect(postgresFeed.comparePositions(last.position, String(lsn))).toBeGreaterThanOrEqual(0);
  });

  it('survives a crash of the server without loss and without a gap', async () => {
    await begin();
    const follower = scene.follow(scene.feed(), null);
    await follower.until(({ state }) => state === 'live');
    await insert(1);
    await follower.until(({ rows }) => rows.includes('1'));
    await scene.server.end('SIGQUIT');
    await scene.server.begin();
    await insert(2);
    await follower.until(({ rows, state }) => rows.includes('2') && state === 'live');
    expect(follower.gaps).toBe(1);
  });

  it('keeps its connection while its reader waits', async () => {
    await begin();
    const reader = await scene.attach(scene.feed({}, often));
    reader.pause();
    await insert(1);
    const replyTime = async (): Promise<unknown> => {
      const rows = await scene.run(
        "SELECT max(reply_time)::text AS at FROM pg_stat_replication WHERE usename = 'weir'",
      );
      return rows[0]!['at'];
    };
    const times = new Set<unknown>();
    while (times.size < 4) times.add(await replyTime());
    reader.resume();
    await reader.until((all) => idsOf(all).includes('1'));
  });

  it('continues after a transaction that is too large', async () => {
    await begin();
    const reader = await scene.attach(scene.feed({ 'max-transaction': '64KiB' }));
    await scene.run(
      "INSERT INTO rows SELECT i, repeat('x', 100) FROM generate_series(1, 1000) i",
      'INSERT INTO rows VALUES (1001)',
    );
    const events = await reader.until((all) => idsOf(all).includes('1001'));
    expect(idsOf(events)).toEqual(['1001']);
    const large = events.filter((event) => event.kind === 'unintelligible');
    expect(large).toMatchObject([{ reason: 'a transaction is larger than 65536 bytes' }]);
    expect(postgresFeed.comparePositions(large[0]!.position, rowsIn(events)[0]!.position)).toBeLessThan(0);
  });

  it('reports text that is not UTF-8 only as unintelligible', async () => {
    await begin();
    const latin = await scene.server.createDatabase("ENCODING 'SQL_ASCII' TEMPLATE template0");
    await scene.server.run(
      latin,
      'CREATE TABLE rows (id int PRIMARY KEY, text text)',
      'CREATE PUBLICATION changes FOR ALL TABLES',
      `SELECT pg_create_logical_replication_slot('${latin}', 'pgoutput')`,
    );
    const reader = await scene.attach(scene.feed({ url: scene.urlOf(latin), slot: latin }));
    await scene.server.run(latin, "INSERT INTO rows VALUES (1, E'\\xe9')", 'INSERT INTO rows VALUES (2)');
    const events = await reader.until((all) => idsOf(all).includes('2'));
    expect(events.filter((event) => event.kind === 'unintelligible')).toMatchObject([
      { reason: 'a text is not UTF-8' },
    ]);
    await reader.stop();
    await scene.server.dropDatabase(latin);
  });
});

describe.skipIf(postgresSkip !== null)('a gap in a Postgres feed', () => {
  /** The reason of the gap with which the feed begins; checks that it continues. */
  async function gapAfter(position: string, feed: Feed = scene.feed()): Promise<string> {
    const reader = scene.read(feed, position);
    const [first] = await reader.until((all) => all.length > 0);
    if (first!.kind !== 'gap') throw new Error(`expected a gap, got ${first!.kind}`);
    await insert(100);
    await reader.until((all) => idsOf(all).includes('100'));
    expect(parsePosition(first!.position!)).not.toBeNull();
    return first!.reason;
  }

  it('is found at a position of another server', async () => {
    await begin();
    const position = await positionAfter(1);
    expect(await gapAfter(position.replace(/@\d+/, '@1'))).toBe('it is another server');
  });

  it('is found at a malformed position', async () => {
    await begin();
    expect(await gapAfter('1-0')).toBe('no position');
  });

  it('is found where the log ends before the position, because the server was restored', async () => {
    await begin();
    const position = await positionAfter(1);
    const ahead = position.replace(/^[^/]+/, 'FFFF');
    expect(await gapAfter(ahead)).toMatch(/ends before FFFF\//);
  });

  it('is found where another client advanced the slot', async () => {
    await begin();
    const position = await positionAfter(1);
    await insert(2);
    await scene.advanceSlot();
    expect(await gapAfter(position)).toMatch(/the slot has confirmed .*: recreated or moved/);
  });

  it('is found at a position without a commit, as saved by an older Weir', async () => {
    await begin();
    const position = await positionAfter(1);
    expect(await gapAfter(position.replace(/#.*/, ''))).toMatch(/has no commit/);
  });

  it.each([
    ['', []],
    [', and a change made meanwhile', ['INSERT INTO rows VALUES (2)']],
  ] as const)('is found where a publication was dropped and recreated%s', async (_name, meanwhile) => {
    await begin();
    const position = await positionAfter(1);
    await scene.run(
      'DROP PUBLICATION changes',
      ...meanwhile,
      'CREATE PUBLICATION changes FOR ALL TABLES',
      'DELETE FROM rows',
    );
    expect(await gapAfter(position)).toBe('a publication was recreated');
  });

  it('is found at a change made while there was no publication and Weir was running, which then continues', async () => {
    await begin();
    const follower = scene.follow(scene.feed(), null);
    await follower.until(({ state }) => state === 'live');
    await scene.run(
      'DROP PUBLICATION changes',
      'INSERT INTO rows VALUES (1)',
      'CREATE PUBLICATION changes FOR ALL TABLES',
    );
    await follower.until(({ gaps, state }) => gaps > 1 && state === 'live');
    await insert(2);
    await follower.until(({ rows }) => rows.includes('2'));
  });

  it('is found at a change made while there was no publication, in a transaction that commits long after', async () => {
    await begin();
    const other = await scene.server.connect(scene.database);
    await scene.run('DROP PUBLICATION changes');
    await other.query('BEGIN');
    await other.query('INSERT INTO rows VALUES (1)');
    await scene.run('CREATE PUBLICATION changes FOR ALL TABLES');
    const follower = scene.follow(scene.feed(), null);
    await follower.until(({ state }) => state === 'live');
    await other.query('COMMIT');
    await other.end();
    await follower.until(({ gaps, state }) => gaps > 1 && state === 'live');
    await insert(3);
    await follower.until(({ rows }) => rows.includes('3'));
  });

  it('is found at a recreated slot, even if nothing changed meanwhile', async () => {
    await begin();
    const reader = await scene.attach();
    const position = lastHead(await reader.until((all) => headsOf(all).length > 1));
    await reader.stop();
    await scene.dropSlot();
    await scene.createSlot();
    expect(await gapAfter(position)).toMatch(/recreated or moved/);
  });

  it('is found on a new timeline; a standby is followed only after its promotion', async () => {
    await begin();
    const position = await positionAfter(1);
    await scene.server.end();
    await scene.server.becomeStandby();
    await scene.server.begin();
    expect(await scene.firstOf(scene.feed(), position)).toMatchObject({
      kind: 'failed',
      failure: { kind: 'protocol', retry: 'slowly', message: expect.stringContaining('standby') as string },
    });
    await scene.run('SELECT pg_promote()');
    expect(await gapAfter(position)).toMatch(/timeline 2, not 1/);
  });
});

/** The server processes a confirmation with a delay, and may receive a later one first. */
async function untilConfirmed(lsn: string): Promise<void> {
  while (!reaches(await confirmed(), lsn));
}

function reaches(position: string, lsn: string): boolean {
  return postgresFeed.comparePositions(position, lsn)! >= 0;
}
