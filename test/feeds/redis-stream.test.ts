import { afterEach, expect, it } from 'vitest';
import { redisStreamFeed } from '../../origin-adapters/feeds/redis-stream.ts';
import { changesOf, describeFeed, idsOf, type FeedService } from '../contracts/feed-contract.ts';
import { RedisServer } from '../support/redis-server.ts';
import { emptyStream, feedOf, kindsOf, path, program, Scene, suite, xadd } from './redis-stream-scene.ts';

describeFeed('redis-stream', {
  adapter: redisStreamFeed,
  skip: program.kind === 'found' ? null : program.reason,
  start,
  cannot: { restore: 'its server is not copied yet' },
});

async function start(): Promise<FeedService> {
  const server = await RedisServer.start(path);
  await server.run(...emptyStream);
  return {
    feed: () => feedOf({ url: server.url }),
    publish: async (transactions) => {
      await server.run(...transactions.map((rows) => ['XADD', 'changes', '*', 'data', JSON.stringify(rows)]));
    },
    trim: async () => {
      await server.run(['XTRIM', 'changes', 'MAXLEN', '0']);
    },
    recreate: async () => {
      await server.run(['DEL', 'changes'], ...emptyStream);
    },
    restart: () => server.restart(),
    cut: async () => {
      await server.run(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes']);
    },
    blackhole: async () => server.pause(),
    resume: async () => server.resume(),
    stop: () => server.stop(),
  };
}

suite('redis-stream: what proves that nothing was missed', () => {
  const scene = new Scene();
  afterEach(() => scene.stop());

  it('goes on without a gap when only entries that it had read were trimmed', async () => {
    const server = await scene.start();
    const after = await scene.positionAfter(['1', '2']);
    await server.run(xadd('3'), xadd('4'), ['XTRIM', 'changes', 'MAXLEN', '2']);
    const events = await scene.read(after).until((all) => idsOf(all).length >= 2);
    expect(kindsOf(events)).toEqual(['change', 'change']);
  });

  it('says how many entries were trimmed before they were read', async () => {
    const server = await scene.start();
    const after = await scene.positionAfter(['1']);
    await server.run(xadd('2'), xadd('3'), xadd('4'), ['XTRIM', 'changes', 'MAXLEN', '1']);
    const events = await scene.read(after).until((all) => all.length > 0);
    expect(events[0]).toMatchObject({ kind: 'gap', reason: '2 entries were trimmed before they were read' });
  });

  it('finds a gap when an entry was deleted before it was read, and none for one that it had read', async () => {
    const server = await scene.start();
    const after = await scene.positionAfter(['1']);
    const [, second] = await server.run(xadd('2'), xadd('3'));
    await server.run(['XDEL', 'changes', after.split('/')[0]!]);
    const unharmed = scene.read(after);
    await unharmed.until((all) => idsOf(all).length >= 2);
    expect(kindsOf(unharmed.events)).toEqual(['change', 'change']);
    await unharmed.stop();
    await server.run(['XDEL', 'changes', String(second)]);
    const events = await scene.read(after).until((all) => all.length > 0);
    expect(events[0]).toMatchObject({ kind: 'gap', reason: 'entries were deleted before they were read' });
  });

  it('finds a gap when entries are trimmed faster than it reads', async () => {
    const server = await scene.start();
    const reader = await scene.attached();
    reader.pause();
    await server.run(...Array.from({ length: 40 }, (_, i) => xadd(String(i))));
    await server.run(['XTRIM', 'changes', 'MAXLEN', '0'], xadd('last'), xadd('later'));
    reader.resume();
    await reader.until((all) => all.filter((event) => event.kind === 'gap').length > 1);
  });

  it('finds a gap when the server came back with an older state', async () => {
    const server = await scene.start();
    const after = await scene.positionAfter(['1', '2', '3']);
    const [older] = after.split('/');
    await server.run(['DEL', 'changes'], ['XADD', 'changes', '1-1', 'data', '{"id":"old"}']);
    const events = await scene.read(after).until((all) => all.length > 0);
    expect(events[0]).toMatchObject({ kind: 'gap', position: '1-1/1' });
    expect(older).not.toBe('1-1');
  });

  it('finds a gap when the stream was made anew with ids that it knows', async () => {
    const server = await scene.start();
    await server.run(xadd('1', '1-0'), xadd('2', '2-0'), xadd('3', '3-0'));
    await server.run(
      ['DEL', 'changes'],
      xadd('1', '1-0'),
      xadd('2', '2-0'),
      xadd('4', '4-0'),
      xadd('5', '5-0'),
    );
    const reader = scene.read('3-0/3');
    const events = await reader.until((all) => all.some((event) => event.kind === 'head'));
    const kinds = kindsOf(events);
    expect(kinds.indexOf('gap')).toBeGreaterThan(-1);
    expect(kinds.indexOf('gap')).toBeLessThan(kinds.indexOf('head'));
  });

  it('takes a position of another kind of feed for none', async () => {
    await scene.start();
    const events = await scene.read('0/16B3748').until((all) => all.length > 0);
    expect(events[0]).toMatchObject({ kind: 'gap' });
  });
});

suite('redis-stream: what an entry says', () => {
  const scene = new Scene();
  afterEach(() => scene.stop());

  it('reads the field that was named, and the time from the id', async () => {
    const server = await scene.start();
    const reader = await scene.attached({ field: 'payload' });
    await server.run(['XADD', 'changes', '*', 'payload', '{"id":"1"}', 'other', 'x']);
    const change = changesOf(await reader.until((all) => idsOf(all).length > 0))[0]!;
    expect(Math.abs(change.committedAtMs! - Date.now())).toBeLessThan(60_000);
  });

  it('takes the fields themselves for the change where the field is *', async () => {
    const server = await scene.start();
    const reader = await scene.attached({ field: '*' });
    await server.run(['XADD', 'changes', '*', 'table', 'products', 'id', '5']);
    const change = changesOf(await reader.until((all) => idsOf(all).length > 0))[0]!;
    expect(change.changes[0]!.message).toEqual([{ table: 'products', id: '5' }]);
  });

  it('reads CloudEvents in binary mode from its other fields', async () => {
    const server = await scene.start();
    const reader = await scene.attached({}, 'cloudevents');
    const attributes = [
      'ce_specversion',
      '1.0',
      'ce_id',
      'e1',
      'ce_source',
      '/shop',
      'ce_type',
      'product.changed',
    ];
    await server.run(['XADD', 'changes', '*', ...attributes, 'data', '{"id":"7"}']);
    const change = changesOf(await reader.until((all) => changesOf(all).length > 0))[0]!;
    expect(change.changes[0]!.message[0]).toMatchObject({ type: 'product.changed', data: { id: '7' } });
  });

  it('calls an entry without the field unintelligible, and goes on behind it', async () => {
    const server = await scene.start();
    const reader = await scene.attached();
    await server.run(
      ['XADD', 'changes', '*', 'table', 'products'],
      ['XADD', 'changes', '*', 'data', '{'],
      xadd('9'),
    );
    const events = await reader.until((all) => idsOf(all).includes('9'));
    const broken = events.filter((event) => event.kind === 'unintelligible');
    expect(broken.map(({ reason }) => reason)[0]).toBe('the entry has no field data, but table');
    expect(broken).toHaveLength(2);
  });
});
