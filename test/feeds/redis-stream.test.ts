import { afterEach, expect, it } from 'vitest';
import { redisStreamFeed } from '../../origin-adapters/feeds/redis-stream.ts';
import {
  changesOf,
  describeFeed,
  idsOf,
  type FeedService,
  type PublishedRow,
} from '../contracts/feed-contract.ts';
import { RedisServer } from '../support/redis-server.ts';
import { emptyStream, feedOf, kindsOf, path, program, Scene, suite, xadd } from './redis-stream-scene.ts';

describeFeed('redis-stream', {
  adapter: redisStreamFeed,
  skip: program.kind === 'found' ? null : program.reason,
  start,
});

async function start(): Promise<FeedService> {
  const server = await RedisServer.start(path);
  await server.run(...emptyStream);
  return {
    feed: () => feedOf({ url: server.url }),
    publish: async (transactions) => {
      await server.run(...transactions.map(xaddRows));
    },
    copy: () => server.copy(),
    restore: (transactions) => server.restore(...transactions.map(xaddRows)),
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

function xaddRows(rows: readonly PublishedRow[]): string[] {
  return ['XADD', 'changes', '*', 'data', JSON.stringify(rows)];
}

suite('redis-stream: what proves that nothing was missed', () => {
  const scene = new Scene();
  afterEach(() => scene.stop());

  it('continues without a gap when only entries before the last one read were trimmed', async () => {
    const server = await scene.start();
    const after = await scene.positionAfter(['1', '2']);
    await server.run(xadd('3'), xadd('4'), ['XTRIM', 'changes', 'MAXLEN', '3']);
    const events = await scene.read(after).until((all) => idsOf(all).length >= 2);
    expect(kindsOf(events)).toEqual(['change', 'change']);
  });

  it.each([
    ['trimmed', ['XTRIM', 'changes', 'MAXLEN', '2']],
    ['deleted', ['XDEL', 'changes']],
  ] as const)('finds a gap when the last entry that it had read was %s', async (_how, command) => {
    const server = await scene.start();
    const after = await scene.positionAfter(['1', '2']);
    const own = command[0] === 'XDEL' ? [after.split('/')[0]!] : [];
    await server.run(xadd('3'), xadd('4'), [...command, ...own]);
    const events = await scene.read(after).until((all) => all.length > 0);
    expect(events[0]).toMatchObject({
      kind: 'gap',
      reason: expect.stringContaining('the last entry read is gone') as string,
    });
  });

  it.each([
    ['with other ids', ['9-1', '9-2', '9-3', '9-4']],
    ['with the same ids', ['1-1', '1-2', '1-3', '1-4']],
  ])(
    'finds a gap when the stream was recreated %s and as many entries were trimmed as were read',
    async (_name, ids) => {
      const server = await scene.start();
      await server.run(xadd('1', '1-1'), xadd('2', '1-2'));
      const first = await scene.attached();
      const [begun] = await first.until((all) => all.length > 0);
      const position = begun!.kind === 'gap' ? begun!.position! : '';
      expect(position).toMatch(/^1-2\/2\//);
      await first.stop();
      const others = ids.map((id) => xadd(`other ${id}`, id));
      await server.run(['DEL', 'changes'], ...others, ['XTRIM', 'changes', 'MAXLEN', '2']);
      const events = await scene.read(position).until((all) => all.length > 0);
      expect(events[0]!.kind).toBe('gap');
    },
  );

  it('finds a gap when the stream is recreated during a connection with as many entries trimmed', async () => {
    const server = await scene.start();
    const reader = await scene.attached();
    await server.run(xadd('1'), xadd('2'));
    await reader.until((all) => idsOf(all).includes('2'));
    await server.run(
      ['MULTI'],
      ['DEL', 'changes'],
      ...['3', '4', '5'].map((id) => xadd(id)),
      ['XTRIM', 'changes', 'MAXLEN', '1'],
      ['EXEC'],
    );
    await reader.until((all) => all.filter(({ kind }) => kind === 'gap').length > 1);
  });

  it('finds a gap for a position without a digest as soon as anything was added', async () => {
    const server = await scene.start();
    const after = (await scene.positionAfter(['1'])).replace(/\/[^/]+$/, '');
    const unchanged = scene.read(after);
    await unchanged.until((all) => all.some(({ kind }) => kind === 'head'));
    expect(kindsOf(unchanged.events)).toEqual(['head']);
    await unchanged.stop();
    await server.run(xadd('2'));
    const events = await scene.read(after).until((all) => all.length > 0);
    expect(events[0]!.kind).toBe('gap');
  });

  it('reports how many entries were trimmed before they were read', async () => {
    const server = await scene.start();
    const after = await scene.positionAfter(['1']);
    await server.run(xadd('2'), xadd('3'), xadd('4'), ['XTRIM', 'changes', 'MAXLEN', '1']);
    const events = await scene.read(after).until((all) => all.length > 0);
    expect(events[0]).toMatchObject({ kind: 'gap', reason: '2 entries were trimmed before they were read' });
  });

  it('finds a gap when an unread entry was deleted, and none for one read before the last', async () => {
    const server = await scene.start();
    const [older] = await server.run(xadd('0'));
    const after = await scene.positionAfter(['1']);
    const [, second] = await server.run(xadd('2'), xadd('3'));
    await server.run(['XDEL', 'changes', String(older)]);
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
    expect(events[0]).toMatchObject({ kind: 'gap', position: expect.stringMatching(/^1-1\/1\//) as string });
    expect(older).not.toBe('1-1');
  });

  it('finds a gap when the stream was recreated with the same ids', async () => {
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

  it('treats a position of another type of feed as none', async () => {
    await scene.start();
    const events = await scene.read('0/16B3748').until((all) => all.length > 0);
    expect(events[0]).toMatchObject({ kind: 'gap' });
  });
});

suite('redis-stream: entries', () => {
  const scene = new Scene();
  afterEach(() => scene.stop());

  it('reads the configured field, and the time from the id', async () => {
    const server = await scene.start();
    const reader = await scene.attached({ field: 'payload' });
    await server.run(['XADD', 'changes', '*', 'payload', '{"id":"1"}', 'other', 'x']);
    const change = changesOf(await reader.until((all) => idsOf(all).length > 0))[0]!;
    expect(Math.abs(change.committedAtMs! - Date.now())).toBeLessThan(60_000);
  });

  it('reads all fields as the change where the field is *', async () => {
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

  it('reports an entry without the field as unintelligible, and continues after it', async () => {
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
