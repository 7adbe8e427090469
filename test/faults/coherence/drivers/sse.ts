import { setTimeout as delay } from 'node:timers/promises';
import { sseFeed } from '../../../../origin-adapters/feeds/sse.ts';
import { EventStreamServer } from '../../../feeds/event-stream-server.ts';
import type { Driver, Target } from '../driver.ts';

const HEARTBEAT_MS = 100;

export async function sseDriver(_target: Target): Promise<Driver> {
  const server = new EventStreamServer(HEARTBEAT_MS);
  await server.start();
  const publish = (keys: readonly number[]): void => {
    const version = server.lastId + 1;
    server.publish(() => JSON.stringify(keys.map((key) => ({ key, version }))));
  };
  return {
    name: 'sse',
    feed: { yaml: `type: sse, url: "${server.url}"`, adapter: sseFeed, pushDelayMs: 300 },
    publish(keys) {
      publish(keys);
      return Promise.resolve({ position: String(server.lastId), isInForce: false });
    },
    faults: [
      { name: 'cut', happen: () => Promise.resolve(server.cut()) },
      {
        name: 'restarted',
        async happen(random) {
          await server.stop();
          await delay(random.between(0, 1_500));
          await server.start();
        },
      },
      {
        name: 'black hole',
        async happen(random) {
          server.silence();
          await delay(random.between(500, 3_500));
          server.speak();
        },
      },
      {
        name: 'delayed while busy',
        async happen(random) {
          server.behindMs = random.between(1_500, 3_000);
          await delay(3_000);
          server.behindMs = 0;
        },
      },
      {
        name: 'trimmed',
        async happen(random) {
          server.silence();
          server.cut();
          await delay(random.between(100, 600));
          server.trim();
          server.speak();
          server.cut();
        },
      },
      { name: 'recreated', happen: () => Promise.resolve(server.recreate()) },
    ],
    stop: () => server.stop(),
  };
}
