import { setTimeout as delay } from 'node:timers/promises';
import { redisStreamFeed } from '../../../../origin-adapters/feeds/redis-stream.ts';
import { RedisServer } from '../../../support/redis-server.ts';
import { TcpProxy } from '../../../support/tcp-proxy.ts';
import type { Driver, Target } from '../driver.ts';
import { untilDone } from './retrying.ts';

const STREAM = 'changes';

export function redisDriver(program: string): (target: Target) => Promise<Driver> {
  return async ({ random: source }) => {
    const server = await RedisServer.start(program);
    const proxy = await TcpProxy.start(Number(new URL(server.url).port));
    const random = source.fork();
    const add = (keys: readonly number[]): Promise<unknown[]> => {
      const data = JSON.stringify(keys.map((key) => ({ key })));
      return untilDone(() => server.run(['XADD', STREAM, '*', 'data', data]));
    };
    await add([]);
    return {
      name: 'redis-stream',
      feed: {
        yaml: `type: redis-stream, url: "redis://127.0.0.1:${proxy.port}", stream: ${STREAM}`,
        adapter: redisStreamFeed,
        pushDelayMs: 0,
      },
      async publish(keys) {
        // Sent twice, as by a sender whose first attempt got no reply.
        if (random.below(8) === 0) await add(keys);
        const [id] = await add(keys);
        return { position: String(id), isInForce: false };
      },
      faults: [
        { name: 'restarted', happen: () => server.restart() },
        {
          name: 'cut',
          happen: async () => void (await untilDone(() => server.run(['CLIENT', 'KILL', 'TYPE', 'normal']))),
        },
        {
          name: 'black hole',
          async happen(chance) {
            server.pause();
            await delay(chance.between(500, 3_500));
            server.resume();
          },
        },
        {
          name: 'delayed while busy',
          async happen(chance) {
            proxy.delayMs = chance.between(1_500, 3_000);
            await delay(3_000);
            proxy.delayMs = 0;
          },
        },
        {
          name: 'trimmed',
          happen: async () => void (await untilDone(() => server.run(['XTRIM', STREAM, 'MAXLEN', '0']))),
        },
        { name: 'recreated', happen: async () => void (await untilDone(() => server.run(['DEL', STREAM]))) },
      ],
      async stop() {
        await proxy.stop();
        await server.stop();
      },
    };
  };
}
