import { createServer } from 'node:http';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { startWeir } from '../support/weir.ts';

describe('an origin that is down', () => {
  it('causes one log line over all workers, and is named by /healthz until it answers again', async () => {
    const port = await freePort();
    const weir = await startWeir(`
      listen: { port: 0, workers: 2 }
      origins: { shop: { url: "http://127.0.0.1:${port}" } }`);
    const asked = await Promise.all(Array.from({ length: 20 }, (_, i) => fetch(`${weir.url}/${i}`)));
    expect(new Set(asked.map(({ status }) => status))).toEqual(new Set([502]));
    const failed = await weir.event('origin-failed');
    expect(failed).toMatchObject({
      level: 'warn',
      thread: 'coordinator',
      origin: 'shop',
      url: `http://127.0.0.1:${port}`,
      failure: 'connection_refused',
      advice: expect.stringContaining('check that the origin runs'),
    });
    const impaired = (await (await weir.admin('/healthz')).json()) as { status: string; problems: string[] };
    expect(impaired).toEqual({
      status: 'impaired',
      problems: [expect.stringContaining('the origin shop fails: the origin refused the connection')],
    });
    expect(JSON.stringify(impaired)).not.toContain(String(port));
    const origin = createServer((_request, response) => response.end('up')).listen(port, '127.0.0.1');
    await once(origin, 'listening');
    expect((await fetch(`${weir.url}/up`)).status).toBe(200);
    expect(await weir.event('origin-recovered')).toMatchObject({ origin: 'shop' });
    expect(await (await weir.admin('/healthz')).json()).toEqual({ status: 'ok', problems: [] });
    expect(weir.events('origin-failed')).toHaveLength(1);
    await weir.stop();
    origin.closeAllConnections();
    origin.close();
  });
});
