import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { FeedFailure } from '../../origin-adapters/feeds/feed.ts';
import { postgresRole } from '../support/postgres-server.ts';
import { tlsCertificate, tlsName } from '../support/tls-identity.ts';
import { freePort } from '../support/free-port.ts';
import { SilentServer } from '../support/silent-server.ts';
import { testFeedDeps } from '../contracts/feed-reader.ts';
import { PostgresScene, postgresSkip } from './postgres-scene.ts';

const scene = PostgresScene.forThisFile();
const begin = (): Promise<void> => scene.begin('CREATE TABLE rows (id int PRIMARY KEY)');

async function failureWith(options: Readonly<Record<string, unknown>> = {}): Promise<FeedFailure> {
  const event = await scene.firstOf(scene.feed(options));
  if (event.kind !== 'failed') throw new Error(`expected a failure, got ${event.kind}`);
  expect(event.failure.message).not.toMatch(/\n/);
  expect(event.failure.message).not.toContain(postgresRole.password);
  return event.failure;
}

function urlOf({ user = 'weir', host = '127.0.0.1', port = scene.server.port, database = scene.database }) {
  return { url: `postgres://${user}@${host}:${port}/${database}` };
}

describe.skipIf(postgresSkip !== null)('a Postgres feed that fails', () => {
  it('is refused with a wrong password', async () => {
    await begin();
    const failure = await failureWith({ password: 'wrong' });
    expect(failure).toMatchObject({ kind: 'refused', retry: 'slowly' });
    expect(failure.message).toContain('password authentication failed for user "weir"');
  });

  it('is refused without a password, and takes none from the environment', async () => {
    await begin();
    process.env['PGPASSWORD'] = postgresRole.password;
    const failure = await failureWith({ password: undefined });
    delete process.env['PGPASSWORD'];
    expect(failure).toMatchObject({ kind: 'refused', retry: 'slowly' });
    expect(failure.message).toContain('set password');
  });

  it('is refused where the server accepts the user from no address', async () => {
    await begin();
    const failure = await failureWith(urlOf({ user: 'nobody' }));
    expect(failure).toMatchObject({ kind: 'refused', retry: 'slowly' });
    expect(failure.message).toContain('pg_hba.conf');
  });

  it('is refused when its role may not replicate', async () => {
    await begin();
    await scene.run("CREATE ROLE plain LOGIN PASSWORD 'plain'");
    const failure = await failureWith({ ...urlOf({ user: 'plain' }), password: 'plain' });
    await scene.run('DROP ROLE plain');
    expect(failure).toMatchObject({ kind: 'refused', retry: 'slowly' });
    expect(failure.message).toContain('replication role');
  });

  it('misses its database', async () => {
    await begin();
    const failure = await failureWith(urlOf({ database: 'absent' }));
    expect(failure).toMatchObject({ kind: 'missing', retry: 'slowly' });
    expect(failure.message).toContain('database "absent" does not exist');
  });

  it('misses its slot, says how to create it and creates none', async () => {
    await begin();
    const failure = await failureWith({ slot: 'absent' });
    expect(failure).toMatchObject({ kind: 'missing', retry: 'slowly' });
    expect(failure.message).toContain("pg_create_logical_replication_slot('absent', 'pgoutput')");
    expect(await scene.run("SELECT FROM pg_replication_slots WHERE slot_name = 'absent'")).toEqual([]);
  });

  it('misses a publication before it begins', async () => {
    await begin();
    const failure = await failureWith({ publication: ['changes', 'absent'] });
    expect(failure).toMatchObject({ kind: 'missing', retry: 'slowly' });
    expect(failure.message).toContain('there is no publication absent');
  });

  it('refuses a slot of another kind', async () => {
    await begin();
    await scene.run("SELECT pg_create_physical_replication_slot('physical')");
    const failure = await failureWith({ slot: 'physical' });
    await scene.run("SELECT pg_drop_replication_slot('physical')");
    expect(failure).toMatchObject({ kind: 'protocol', retry: 'slowly' });
  });

  it('refuses a slot of another database', async () => {
    await begin();
    const failure = await failureWith(urlOf({ database: 'postgres' }));
    expect(failure).toMatchObject({ kind: 'missing' });
    await scene.server.run('postgres', 'CREATE PUBLICATION changes FOR ALL TABLES');
    const other = await failureWith(urlOf({ database: 'postgres' }));
    await scene.server.run('postgres', 'DROP PUBLICATION changes');
    expect(other).toMatchObject({ kind: 'missing', retry: 'slowly' });
    expect(other.message).toContain('of another database');
  });

  it('finds its slot in use, and names the holder', async () => {
    await begin();
    await scene.attach();
    const { active_pid: pid } = await scene.slot();
    const failure = await failureWith();
    expect(failure).toMatchObject({ kind: 'in-use', retry: 'soon' });
    expect(failure.message).toContain(`process ${String(pid)}`);
  });

  it('waits a moment for a slot that an old connection still holds', async () => {
    await begin();
    const first = await scene.attach();
    const second = scene.read(scene.feed(), null);
    await first.stop();
    expect((await second.until((events) => events.length > 0))[0]).toMatchObject({ kind: 'gap' });
  });

  it('neither follows nor recreates a lost slot', async () => {
    await begin();
    await scene.run("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", 'SELECT pg_reload_conf()');
    for (let segment = 0; segment < 3; segment++) {
      await scene.run('INSERT INTO rows SELECT coalesce(max(id), 0) + 1 FROM rows', 'SELECT pg_switch_wal()');
    }
    await scene.run('CHECKPOINT');
    expect(await scene.slot()).toMatchObject({ wal_status: 'lost' });
    const failure = await failureWith();
    await scene.run('ALTER SYSTEM RESET max_slot_wal_keep_size', 'SELECT pg_reload_conf()');
    expect(failure).toMatchObject({ kind: 'missing', retry: 'slowly' });
    expect(failure.message).toContain('was lost');
    expect(failure.message).toContain('pg_drop_replication_slot');
  });

  it('needs wal_level logical', async () => {
    await begin();
    await scene.dropSlot();
    await scene.server.end();
    await scene.server.begin({ wal_level: 'replica' });
    const failure = await failureWith();
    await scene.server.end();
    await scene.server.begin();
    expect(failure).toMatchObject({ kind: 'protocol', retry: 'slowly' });
    expect(failure.message).toContain('wal_level is replica');
  });

  it('finds no server at a closed port', async () => {
    await begin();
    const failure = await failureWith(urlOf({ host: 'localhost', port: await freePort() }));
    expect(failure).toMatchObject({ kind: 'unreachable', retry: 'soon' });
    expect(failure.message).toMatch(/localhost:\d+.*ECONNREFUSED/);
  });

  it('reports that the publication is gone, and what recreating it means', async () => {
    await begin();
    const follower = scene.follow(scene.feed(), null);
    await follower.until(({ state }) => state === 'live');
    await scene.run('DROP PUBLICATION changes', 'INSERT INTO rows VALUES (1)');
    await expect
      .poll(() => follower.runner.status().lastFailure, { timeout: 20_000 })
      .toContain('there is no publication changes: CREATE PUBLICATION changes');
  });

  it('ends when its ordinary connection hangs while the stream lives', async () => {
    await begin();
    const reader = await scene.attach(scene.feed({}, { maxSilenceMs: 1_500 }));
    const [{ pid } = {}] = await scene.run(
      "SELECT pid FROM pg_stat_activity WHERE usename = 'weir' AND backend_type = 'client backend'",
    );
    process.kill(Number(pid), 'SIGSTOP');
    const events = await reader.until((all) => all.at(-1)!.kind === 'failed');
    process.kill(Number(pid), 'SIGCONT');
    expect(events.at(-1)).toMatchObject({
      failure: {
        kind: 'unreachable',
        retry: 'soon',
        message: expect.stringContaining('the ordinary connection gave no answer within 1500 ms') as string,
      },
    });
  });

  it('ends when its stream hangs, and names the holder of the slot', async () => {
    await begin();
    const follower = scene.follow(scene.feed(), null);
    await follower.until(({ state }) => state === 'live');
    const { active_pid: pid } = await scene.slot();
    process.kill(Number(pid), 'SIGSTOP');
    await expect
      .poll(() => follower.runner.status().lastFailure, { timeout: 30_000 })
      .toContain(`held by the server's process ${String(pid)}`);
    process.kill(Number(pid), 'SIGCONT');
    await follower.until(({ state }) => state === 'live');
  });

  it('ends when the server accepts the connection and sends nothing', async () => {
    await begin();
    const silent = await SilentServer.start();
    const { clock: system } = testFeedDeps;
    const clock = { ...system, schedule: (ms: number, call: () => void) => system.schedule(ms / 50, call) };
    const feed = scene.feed(urlOf({ port: silent.port }), { maxSilenceMs: 500, clock });
    expect(await scene.firstOf(feed)).toMatchObject({
      failure: {
        kind: 'unreachable',
        retry: 'soon',
        message: expect.stringContaining('the server accepted no connection within 10000 ms') as string,
      },
    });
    await silent.stop();
  });

  it('ends when the server does not respond with its state', async () => {
    await begin();
    const other = await scene.server.connect(scene.database);
    await other.query('BEGIN');
    await other.query('LOCK TABLE pg_publication IN ACCESS EXCLUSIVE MODE');
    const event = await scene.firstOf(scene.feed({}, { maxSilenceMs: 1_000 }));
    await other.query('ROLLBACK');
    await other.end();
    expect(event).toMatchObject({
      failure: {
        kind: 'unreachable',
        message: expect.stringContaining(
          'the server did not respond with its state within 1000 ms',
        ) as string,
      },
    });
  });

  it('reports that the server stops', async () => {
    await begin();
    const reader = await scene.attach();
    await scene.server.end('SIGQUIT');
    const events = await reader.until((all) => all.at(-1)!.kind === 'failed');
    await scene.server.begin();
    expect(events.at(-1)).toMatchObject({ failure: { kind: 'unreachable', retry: 'soon' } });
  });

  it('names the missing package', async () => {
    await begin();
    const failure: FeedFailure = { kind: 'library', retry: 'never', message: 'npm install pg', cause: null };
    const feed = scene.feed({}, { loadLibrary: () => Promise.resolve({ kind: 'failed', failure }) });
    expect(await scene.firstOf(feed)).toEqual({ kind: 'failed', failure });
  });
});

describe.skipIf(postgresSkip !== null)('a Postgres feed with TLS', () => {
  async function caFile(): Promise<string> {
    const file = join(scene.server.folder, 'ca.pem');
    await writeFile(file, tlsCertificate);
    return file;
  }

  it('is followed when the certificate is trusted and has the name', async () => {
    await begin();
    const reader = await scene.attach(scene.feed({ tls: { ca: await caFile(), 'server-name': tlsName } }));
    expect(
      await scene.run(
        "SELECT bool_and(ssl) AS all FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'weir'",
      ),
    ).toEqual([{ all: true }]);
    await scene.run('INSERT INTO rows VALUES (1)');
    await reader.until((events) =>
      events.some((event) => event.kind === 'change' && event.changes.length > 0),
    );
  });

  it('is refused when the certificate is not trusted', async () => {
    await begin();
    expect(await failureWith({ tls: { 'server-name': tlsName } })).toMatchObject({
      kind: 'refused',
      retry: 'slowly',
      message: expect.stringContaining('TLS with 127.0.0.1') as string,
    });
  });

  it('is refused when the certificate has another name', async () => {
    await begin();
    expect(await failureWith({ tls: { ca: await caFile() } })).toMatchObject({
      kind: 'refused',
      retry: 'slowly',
    });
  });

  it('is refused when the file of authorities does not exist', async () => {
    await begin();
    const failure = await failureWith({ tls: { ca: '/absent/ca.pem' } });
    expect(failure).toMatchObject({ kind: 'refused', retry: 'slowly' });
    expect(failure.message).toContain('/absent/ca.pem');
  });

  it('is refused by a server without TLS', async () => {
    await begin();
    await scene.server.end();
    await scene.server.begin({ ssl: 'off' });
    const failure = await failureWith({ tls: {} });
    await scene.server.end();
    await scene.server.begin();
    expect(failure).toMatchObject({ kind: 'refused', retry: 'slowly' });
    expect(failure.message).toContain('does not support SSL');
  });
});
