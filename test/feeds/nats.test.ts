import {
  RetentionPolicy,
  StorageType,
  type JetStreamClient,
  type JetStreamManager,
} from '@nats-io/jetstream';
import { headers } from '@nats-io/transport-node';
import { afterEach, expect, it } from 'vitest';
import { natsFeed } from '../../origin-adapters/feeds/nats.ts';
import {
  changesOf,
  describeFeed,
  idsOf,
  type FeedService,
  type PublishedRow,
} from '../contracts/feed-contract.ts';
import { NatsServer } from '../support/nats-server.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { failureOf } from './feed-failure.ts';
import { feedOf, kindsOf, path, program, Scene, stream, suite } from './nats-scene.ts';

describeFeed('nats', {
  adapter: natsFeed,
  skip: program.kind === 'found' ? null : program.reason,
  start,
});

async function start(): Promise<FeedService> {
  const server = await NatsServer.start(path);
  await server.atStreams((manager) => manager.streams.add(stream));
  const proxy = await TcpProxy.start(server.port);
  return {
    feed: () => feedOf({ servers: `nats://127.0.0.1:${proxy.port}` }),
    publish: (transactions) => server.atStreams((_manager, client) => publishAll(client, transactions)),
    copy: () => server.copy(),
    restore: (transactions) => server.restore((_manager, client) => publishAll(client, transactions)),
    trim: async () => {
      await server.atStreams((manager) => manager.streams.purge('CHANGES'));
    },
    recreate: () =>
      server.atStreams(async (manager) => {
        await manager.streams.delete('CHANGES');
        await manager.streams.add(stream);
      }),
    restart: () => server.restart(),
    cut: async () => proxy.cut(),
    blackhole: async () => server.pause(),
    resume: async () => server.resume(),
    stop: async () => {
      await proxy.stop();
      await server.stop();
    },
  };
}

async function publishAll(
  client: JetStreamClient,
  transactions: readonly (readonly PublishedRow[])[],
): Promise<void> {
  for (const rows of transactions) await client.publish('changes', JSON.stringify(rows));
}

suite('nats: what proves that nothing was missed', () => {
  const scene = new Scene();
  afterEach(() => scene.stop());

  it.each(['purged', 'deleted'])('finds a gap when the last message read was %s', async (how) => {
    const server = await scene.startWithStream();
    const after = await scene.positionAfter('1', '2');
    await scene.publish('3');
    await server.atStreams(async ({ streams }) => {
      if (how === 'purged') await streams.purge('CHANGES', { seq: 3 });
      else await streams.deleteMessage('CHANGES', 2);
    });
    const events = await scene.read(after).until((all) => all.length > 0);
    expect(events[0]).toMatchObject({
      kind: 'gap',
      reason: expect.stringContaining('the last message read is gone') as string,
    });
  });

  it('finds a gap for a position without a mark as soon as there is another message', async () => {
    await scene.startWithStream();
    const after = (await scene.positionAfter('1')).replace(/#.*/, '');
    const unchanged = scene.read(after);
    await unchanged.until((all) => all.some(({ kind }) => kind === 'head'));
    expect(kindsOf(unchanged.events)).toEqual(['head']);
    await unchanged.stop();
    await scene.publish('2');
    const events = await scene.read(after).until((all) => all.length > 0);
    expect(events[0]!.kind).toBe('gap');
  });

  it('continues without a gap when only messages before the last one read were removed', async () => {
    const server = await scene.startWithStream();
    const after = await scene.positionAfter('1', '2');
    await scene.publish('3');
    await server.atStreams((manager) => manager.streams.purge('CHANGES', { seq: 2 }));
    const events = await scene.read(after).until((all) => all.some(({ kind }) => kind === 'head'));
    expect(kindsOf(events)).toEqual(['change', 'head']);
  });

  it('finds a gap when an unread message was deleted', async () => {
    const server = await scene.startWithStream();
    const after = await scene.positionAfter('1');
    await scene.publish('2', '3', '4');
    await server.atStreams((manager) => manager.streams.deleteMessage('CHANGES', 3));
    const events = await scene.read(after).until((all) => all.some(({ kind }) => kind === 'head'));
    expect(kindsOf(events)).toEqual(['change', 'gap', 'change', 'head']);
    expect(events.find(({ kind }) => kind === 'gap')).toMatchObject({
      reason: 'removed before it was read: message 3',
    });
  });

  it('finds a gap when the last messages were deleted, and is at its head after it', async () => {
    const server = await scene.startWithStream();
    const after = await scene.positionAfter('1');
    await scene.publish('2', '3', '4');
    await server.atStreams(async (manager) => {
      await manager.streams.deleteMessage('CHANGES', 3);
      await manager.streams.deleteMessage('CHANGES', 4);
    });
    const reader = scene.read(after);
    const events = await reader.until((all) => all.some(({ kind }) => kind === 'head'));
    expect(kindsOf(events)).toEqual(['change', 'gap', 'head']);
    await scene.publish('5');
    await reader.until((all) => idsOf(all).includes('5'));
    expect(kindsOf(reader.events).filter((kind) => kind === 'gap')).toHaveLength(1);
  });

  it('finds a gap when messages are removed faster than it reads', async () => {
    const server = await scene.startWithStream();
    const reader = await scene.attached();
    reader.pause();
    await scene.publish(...Array.from({ length: 40 }, (_, i) => String(i)));
    await server.atStreams((manager) => manager.streams.purge('CHANGES'));
    await scene.publish('last');
    reader.resume();
    const events = await reader.until((all) => idsOf(all).includes('last'));
    expect(kindsOf(events).filter((kind) => kind === 'gap')).toHaveLength(2);
  });

  it('finds a gap where the stream keeps only the last message of a subject', async () => {
    await scene.startWithStream({ max_msgs_per_subject: 1 });
    const after = await scene.positionAfter('1');
    await scene.publish('2', '3');
    const events = await scene.read(after).until((all) => all.some(({ kind }) => kind === 'head'));
    expect(kindsOf(events)).toEqual(['gap', 'head']);
  });

  it('misses a stream in memory after a restart, and finds a gap once it was recreated', async () => {
    const server = await scene.startWithStream({ storage: StorageType.Memory });
    const after = await scene.positionAfter('1', '2');
    await server.restart();
    expect(await failureOf(feedOf({ servers: server.url }), after)).toMatchObject({ kind: 'missing' });
    await server.atStreams((manager) => manager.streams.add(stream));
    const events = await scene.read(after).until((all) => all.length > 0);
    expect(events[0]).toMatchObject({ kind: 'gap', reason: 'the stream was recreated' });
  });

  it('finds a gap when an older copy of its files was restored while Weir was stopped', async () => {
    const server = await scene.startWithStream();
    await scene.publish('1');
    await server.copy();
    const after = await scene.positionAfter('2');
    await server.restore(async () => {});
    const events = await scene.read(after).until((all) => all.length > 0);
    expect(events[0]).toMatchObject({ kind: 'gap', reason: 'the stream went back to an older state' });
  });

  it("finds a gap when another message has the position's sequence after a restore", async () => {
    const server = await scene.startWithStream();
    await scene.publish('1');
    await server.copy();
    const after = await scene.positionAfter('2');
    // Subject, content and sequence are the same: only the time differs.
    await server.restore(async (_manager, client) => {
      await client.publish('changes', '{"id":"2"}');
    });
    const events = await scene.read(after).until((all) => all.length > 0);
    expect(events[0]).toMatchObject({
      kind: 'gap',
      reason: expect.stringContaining('restored to an older state') as string,
    });
  });

  it('finds a gap when an older copy of its files was restored while Weir was running', async () => {
    const server = await scene.startWithStream();
    await server.copy();
    const follower = await scene.follow();
    await scene.publish('1', '2');
    await follower.until(({ rows, state }) => rows.includes('2') && state === 'live');
    const { gaps } = follower;
    await server.restore(async () => {});
    await follower.until((seen) => seen.gaps > gaps && seen.state === 'live');
    await scene.publish('3');
    await follower.until(({ rows }) => rows.includes('3'));
  });

  it('finds a gap when a stream of retention interest kept nothing', async () => {
    const server = await scene.startWithStream({ retention: RetentionPolicy.Interest });
    const after = await scene.positionAfter('1');
    await server.atStreams(deleteConsumers);
    await scene.publish('2');
    const events = await scene.read(after).until((all) => all.length > 0);
    expect(events[0]).toMatchObject({ kind: 'gap' });
  });

  it('treats a position of another type of feed as none', async () => {
    await scene.startWithStream();
    const events = await scene.read('1795216768160-0/3').until((all) => all.length > 0);
    expect(events[0]).toMatchObject({ kind: 'gap' });
  });

  it('fails when its consumer is deleted, and begins again', async () => {
    const server = await scene.startWithStream();
    const reader = await scene.attached();
    await server.atStreams(deleteConsumers);
    await reader.ended;
    expect(reader.events.at(-1)).toMatchObject({
      kind: 'failed',
      failure: { kind: 'unreachable', retry: 'soon', message: 'reading was ended: consumer deleted' },
    });
  });
});

suite('nats: messages', () => {
  const scene = new Scene();
  afterEach(() => scene.stop());

  it('skips other subjects, and is at its head after them', async () => {
    const server = await scene.startWithStream();
    const reader = await scene.attached({ subjects: ['changes.products.*'] });
    await server.atStreams(async (_manager, client) => {
      await client.publish('changes.products.eu', '{"id":"1"}');
      await client.publish('changes.orders', 'no JSON');
    });
    const events = await reader.until((all) => all.at(-1)?.kind === 'head' && idsOf(all).includes('1'));
    expect(events.at(-1)).toMatchObject({ position: expect.stringMatching(/^2@/) as string });
    expect(kindsOf(events)).not.toContain('unintelligible');
  });

  it('reads CloudEvents in binary mode from its headers, and the time from the server', async () => {
    const server = await scene.startWithStream();
    const reader = await scene.attached({}, 'cloudevents');
    await server.atStreams(async (_manager, client) => {
      const attributes = headers();
      attributes.set('ce-specversion', '1.0');
      attributes.set('ce-id', 'e1');
      attributes.set('ce-source', '/shop');
      attributes.set('ce-type', 'product.changed');
      await client.publish('changes', '{"id":"7"}', { headers: attributes });
    });
    const change = changesOf(await reader.until((all) => changesOf(all).length > 0))[0]!;
    expect(change.changes[0]!.message[0]).toMatchObject({ type: 'product.changed', data: { id: '7' } });
    expect(Math.abs(change.committedAtMs! - Date.now())).toBeLessThan(60_000);
  });

  it('reports a malformed message as unintelligible, and continues after it', async () => {
    const server = await scene.startWithStream();
    const reader = await scene.attached();
    await server.atStreams((_manager, client) => client.publish('changes', '{'));
    await scene.publish('9');
    const events = await reader.until((all) => idsOf(all).includes('9'));
    expect(kindsOf(events).slice(-2)).toEqual(['unintelligible', 'change']);
  });
});

async function deleteConsumers(manager: JetStreamManager): Promise<void> {
  for await (const { name } of manager.consumers.list('CHANGES')) {
    await manager.consumers.delete('CHANGES', name);
  }
}
