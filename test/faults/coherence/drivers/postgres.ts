import { setTimeout as delay } from 'node:timers/promises';
import { postgresFeed } from '../../../../origin-adapters/feeds/postgres.ts';
import { PostgresServer, postgresRole } from '../../../support/postgres-server.ts';
import type { RequiredProgram } from '../../../support/programs.ts';
import { TcpProxy } from '../../../support/tcp-proxy.ts';
import type { Driver, Target } from '../driver.ts';
import { untilDone } from './retrying.ts';

const SLOT = 'weir';

/** A table of keys and versions. Each change of keys is one transaction. */
export function postgresDriver(
  initdb: RequiredProgram,
  postgres: RequiredProgram,
): (target: Target) => Promise<Driver> {
  return async () => {
    const server = await PostgresServer.start(initdb, postgres);
    const database = await server.createDatabase();
    const createSlot = `SELECT pg_create_logical_replication_slot('${SLOT}', 'pgoutput')`;
    await server.run(
      database,
      'CREATE TABLE items (key int PRIMARY KEY, version int)',
      'INSERT INTO items SELECT n, 0 FROM generate_series(0, 99) n',
      'CREATE PUBLICATION changes FOR ALL TABLES',
      createSlot,
    );
    const { user, password } = postgresRole;
    const proxy = await TcpProxy.start(server.port);
    const url = `postgres://${user}@127.0.0.1:${proxy.port}/${database}`;
    const terminate =
      'SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE active_pid IS NOT NULL';
    return {
      name: 'postgres',
      feed: {
        yaml: `type: postgres, url: "${url}", password: "${password}", slot: ${SLOT}, publication: changes`,
        adapter: postgresFeed,
        pushDelayMs: 0,
      },
      async publish(keys) {
        const change = `UPDATE items SET version = version + 1 WHERE key IN (${keys.join(', ')})`;
        const { rows } = await untilDone(() =>
          server.run(database, change, 'SELECT pg_current_wal_insert_lsn()::text AS lsn'),
        );
        return { position: String(rows[0]!['lsn']), isInForce: false };
      },
      faults: [
        {
          name: 'restarted',
          async happen(random) {
            await server.end(random.below(2) === 0 ? 'SIGINT' : 'SIGQUIT');
            await delay(random.between(0, 1_000));
            await server.begin();
          },
        },
        { name: 'cut', happen: async () => void (await untilDone(() => server.run(database, terminate))) },
        {
          name: 'black hole',
          async happen(random) {
            await server.freeze();
            await delay(random.between(500, 3_500));
            await server.thaw();
          },
        },
        {
          name: 'delayed while busy',
          async happen(random) {
            proxy.delayMs = random.between(1_500, 3_000);
            await delay(3_000);
            proxy.delayMs = 0;
          },
        },
        {
          name: 'recreated',
          happen: () =>
            untilDone(async () => {
              await server.run(database, terminate, `SELECT pg_drop_replication_slot('${SLOT}')`);
              await server.run(database, createSlot);
            }),
        },
      ],
      async stop() {
        await proxy.stop();
        await server.stop();
      },
    };
  };
}
