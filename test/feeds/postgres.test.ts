import { postgresFeed } from '../../origin-adapters/feeds/postgres.ts';
import { describeFeed, type FeedService, type PublishedRow } from '../contracts/feed-contract.ts';
import { PostgresScene, postgresSkip } from './postgres-scene.ts';

const scene = PostgresScene.forThisFile();

describeFeed('postgres', { adapter: postgresFeed, skip: postgresSkip, start });

async function start(): Promise<FeedService> {
  await scene.begin('CREATE TABLE rows (id text PRIMARY KEY, text text)');
  const { server, database } = scene;
  return {
    feed: () => scene.feed(),
    publish: async (transactions) => {
      await server.runAll(database, insertions(transactions));
    },
    trim: () => scene.advanceSlot(),
    recreate: async () => {
      await scene.dropSlot();
      await scene.createSlot();
    },
    copy: () => server.copy(),
    restore: (transactions) =>
      server.restore(async () => void (await server.runAll(database, insertions(transactions)))),
    restart: async () => {
      await server.end();
      await server.begin();
    },
    cut: async () => {
      await scene.run("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'weir'");
    },
    blackhole: () => server.freeze(),
    resume: () => server.thaw(),
    stop: () => server.thaw(),
  };
}

function* insertions(transactions: readonly (readonly PublishedRow[])[]): Generator<string> {
  for (const rows of transactions) {
    yield 'BEGIN';
    for (const { id, text } of rows) yield `INSERT INTO rows VALUES ('${id}', '${text ?? ''}')`;
    yield 'COMMIT';
  }
}
