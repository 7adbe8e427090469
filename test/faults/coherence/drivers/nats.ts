import { setTimeout as delay } from 'node:timers/promises';
import { natsFeed } from '../../../../origin-adapters/feeds/nats.ts';
import { NatsServer } from '../../../support/nats-server.ts';
import { TcpProxy } from '../../../support/tcp-proxy.ts';
import type { Driver, Target } from '../driver.ts';
import { untilDone } from './retrying.ts';

const STREAM = { name: 'CHANGES', subjects: ['changes'] };

export function natsDriver(program: string): (target: Target) => Promise<Driver> {
  return async () => {
    const server = await NatsServer.start(program);
    await server.atStreams((manager) => manager.streams.add(STREAM));
    const proxy = await TcpProxy.start(server.port);
    let isRecreated = false;
    return {
      name: 'nats',
      feed: {
        yaml: `type: nats, servers: "nats://127.0.0.1:${proxy.port}", stream: ${STREAM.name}`,
        adapter: natsFeed,
        pushDelayMs: 0,
      },
      async publish(keys) {
        const wasRecreated = isRecreated;
        const text = JSON.stringify(keys.map((key) => ({ key })));
        const { seq } = await untilDone(() =>
          server.atStreams((_manager, client) => client.publish('changes', text)),
        );
        // The sequences of a recreated stream can't be compared with those of the old one.
        return { position: wasRecreated || isRecreated ? null : String(seq), isInForce: false };
      },
      faults: [
        { name: 'restarted', happen: () => server.restart() },
        {
          name: 'black hole',
          async happen(random) {
            server.pause();
            await delay(random.between(500, 3_500));
            server.resume();
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
          name: 'trimmed',
          happen: async () =>
            void (await untilDone(() => server.atStreams((manager) => manager.streams.purge(STREAM.name)))),
        },
        {
          name: 'recreated',
          async happen() {
            isRecreated = true;
            await untilDone(() => server.atStreams((manager) => manager.streams.delete(STREAM.name)));
            await untilDone(() => server.atStreams((manager) => manager.streams.add(STREAM)));
          },
        },
      ],
      async stop() {
        await proxy.stop();
        await server.stop();
      },
    };
  };
}
