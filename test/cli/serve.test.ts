import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endWithTests } from '../support/end-with-tests.ts';
import { freePort } from '../support/free-port.ts';
import { newPlace, PROGRAM, type Place } from './support.ts';

let place: Place;

beforeAll(async () => {
  place = await newPlace();
});

afterAll(() => place.remove());

/** Starts `weir serve` in front of the built-in shop; resolves when it logs that it listens. */
async function serve(options: readonly string[] = []) {
  const adminPort = await freePort();
  await place.write(
    'shop.yaml',
    // A separate disk, because a response that another test has stored would be a hit.
    `listen: { port: 0, workers: 1 }\nadmin: { port: ${adminPort} }\ncache: { disk: { path: ./disk-${adminPort} } }\n` +
      'origins: { shop: { url: "demo:" } }\n',
  );
  const child = spawn(
    process.execPath,
    [...options, PROGRAM, 'serve', '--config', join(place.directory, 'shop.yaml')],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  endWithTests(child);
  const exited = once(child, 'exit');
  for await (const line of createInterface(child.stdout)) {
    const { event, port } = (line.startsWith('{') ? JSON.parse(line) : {}) as {
      event?: string;
      port?: number;
    };
    if (event !== 'listening') continue;
    child.stdout.resume();
    const stop = async () => {
      child.kill('SIGTERM');
      const [code] = await exited;
      return code as number | null;
    };
    return { url: `http://127.0.0.1:${port}`, admin: `http://127.0.0.1:${adminPort}`, exited, stop };
  }
  throw new Error('it ended before it listened');
}

describe('weir serve', () => {
  it("serves where Node.js can't replace a process", async () => {
    const allowed = ['--allow-fs-read=*', '--allow-fs-write=*', '--allow-worker', '--allow-addons'];
    const { url, stop } = await serve(['--permission', ...allowed]);
    expect((await fetch(`${url}/products/1`)).status).toBe(200);
    expect(await stop()).toBe(0);
  });

  it('serves, and can be queried, purged and stopped by commands', async () => {
    const { url, stop } = await serve();
    const ask = async () => {
      const response = await fetch(`${url}/products/1`);
      await response.arrayBuffer();
      return response.headers.get('cache-status');
    };
    expect(await ask()).toContain('fwd=uri-miss');
    expect(await ask()).toContain('hit');
    const before = await place.weir(['explain', 'GET', `${url}/products/1`, '--config', 'shop.yaml']);
    expect(before.out).toContain('; usable: fresh\n');
    const purged = await place.weir(['purge', '--url', '/products/1', '--config', 'shop.yaml']);
    expect(purged).toMatchObject({ code: 0, out: expect.stringMatching(/^purged 1 tag, sequence \d+\n$/) });
    const after = await place.weir(['explain', 'GET', `${url}/products/1`, '--config', 'shop.yaml']);
    expect(after.out).toContain('; not usable without validation: invalidated\n');
    expect(await stop()).toBe(0);
  });

  it('can be reloaded, reports errors, and stops through its admin side alone', async () => {
    const { url, admin, exited } = await serve();
    const away = ['--admin', `${admin}/`];
    const fine = await place.weir(['reload', ...away]);
    expect(fine).toEqual({ code: 0, out: 'reloaded\n', err: '' });
    await place.write('shop.yaml', 'origins: { shop: { url: 7 } }\nlog: { level: loud }');
    const refused = await place.weir(['reload', ...away]);
    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(refused.err).toContain('shop.yaml:1:25 origins.shop.url: expected');
    expect(refused.err).toContain('log.level: expected');
    const json = await place.weir(['reload', ...away, '--json']);
    expect(JSON.parse(json.out)).toMatchObject({
      ok: false,
      errors: [
        { kind: 'refused', status: 422, message: expect.stringContaining('origins.shop.url') },
        { kind: 'refused', status: 422, message: expect.stringContaining('log.level') },
      ],
    });
    const response = await fetch(`${url}/products/1`);
    expect(await response.text()).toContain('"id":"1"');
    const stopped = await place.weir(['stop', ...away]);
    expect(stopped).toMatchObject({
      code: 0,
      err: '',
      out: expect.stringMatching(/^stopped \(pid \d+\)\n$/),
    });
    expect(await exited).toEqual([0, null]);
  });

  it('does not start with an invalid configuration', async () => {
    await place.write('bad.yaml', 'origins: { shop: { url: 7 } }');
    const ran = await place.weir(['serve', '--config', 'bad.yaml']);
    expect(ran).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringContaining('bad.yaml:1:25 origins.shop.url'),
    });
  });
});
