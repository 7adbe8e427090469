import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createAdminApp } from '../../proxy/admin/app.ts';
import type { AdminDependencies } from '../../proxy/admin/dependencies.ts';
import { startAdmin } from '../../proxy/admin/server.ts';
import { logTo } from '../../proxy/observability/logger.ts';
import { configOf } from '../config/load.ts';
import { freePort } from '../support/free-port.ts';
import { newPlace, type Place } from './support.ts';
import { NO_WRITES } from '../writes/no-writes.ts';

const ORIGIN = 'origins: { shop: { url: "http://127.0.0.1:1" } }\n';

let place: Place;
let close: (() => Promise<void>) | null = null;

beforeAll(async () => {
  place = await newPlace();
  await place.write('proxy.config.yaml', ORIGIN);
});

afterAll(() => place.remove());

afterEach(async () => {
  await close?.();
  close = null;
});

/** An admin side at the port in the file `running.yaml`, and the tags that requests to it invalidate. */
async function runAdmin(token = 'secret'): Promise<string[]> {
  const invalidated: string[] = [];
  const deps: AdminDependencies = {
    token,
    log: logTo({ write: () => {} }, 'silent', 'test'),
    onRefused: () => {},
    config: () => configOf(ORIGIN),
    stats: async () => ({}),
    metrics: async () => '',
    ready: async () => ({ ready: true, reasons: [] }),
    problems: () => [],
    invalidate: async (tags) => {
      invalidated.push(...tags);
      return { kind: 'done', sequence: 7 };
    },
    findEntries: async () => ({ entries: 3, sample: ['/a', '/b'], complete: false }),
    entries: async () => ({ kind: 'report', report: { key: 'k', entries: [] } }),
    feeds: () => [],
    writes: NO_WRITES,
  };
  const { limits } = configOf(ORIGIN).admin;
  const started = await startAdmin({ host: '127.0.0.1', port: 0, app: createAdminApp(deps), limits });
  if (started.kind === 'failed') throw new Error(started.reason);
  close = () => started.close();
  await place.write('running.yaml', `${ORIGIN}admin: { port: ${started.port}, token: secret }\n`);
  return invalidated;
}

describe('weir', () => {
  it('prints its usage where that is requested, and where the arguments are wrong', async () => {
    const [help, none, unknown] = await Promise.all([
      place.weir(['--help']),
      place.weir([]),
      place.weir(['check', '--jsn']),
    ]);
    expect(help).toMatchObject({ code: 0, err: '' });
    expect(help.out).toContain('Usage: weir COMMAND');
    expect(none).toMatchObject({ code: 2, out: '' });
    expect(none.err).toContain('Usage: weir COMMAND');
    expect(unknown).toMatchObject({ code: 2, out: '' });
    expect(unknown.err).toMatch(/^weir: Unknown option '--jsn'\n\nUsage: weir check/);
  });

  it('prints its version', async () => {
    expect(await place.weir(['--version'])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^\d+\.\d+\.\d+/),
    });
  });

  it('names the Node.js version that it needs when it runs on an older one', async () => {
    const old = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.1.0' } })`;
    const ran = await place.weir(['check'], ['--import', `data:text/javascript,${encodeURIComponent(old)}`]);
    expect(ran).toEqual({ code: 1, out: '', err: 'weir needs Node.js 24 or later, and this is 20.1.0\n' });
  });

  it('checks the configuration in the working directory', async () => {
    expect(await place.weir(['check'])).toEqual({
      code: 0,
      out: 'proxy.config.yaml: valid, 1 route\n',
      err: '',
    });
    await place.write('bad.yaml', 'origins: { shop: { url: 7 } }');
    const bad = await place.weir(['check', '--config', 'bad.yaml', '--json']);
    expect(bad).toMatchObject({ code: 1, err: '' });
    expect(JSON.parse(bad.out)).toMatchObject({ ok: false, errors: [{ file: 'bad.yaml', line: 1 }] });
  });

  it('prints the schema', async () => {
    const { code, out } = await place.weir(['schema']);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ title: 'Weir configuration' });
  });

  it('rejects an invalid configuration whatever the command', async () => {
    await place.write('bad.yaml', 'origins: { shop: { url: 7 } }');
    for (const command of [
      ['purge', '--all'],
      ['explain', 'GET', '/'],
    ]) {
      const ran = await place.weir([...command, '--config', 'bad.yaml']);
      expect(ran).toMatchObject({
        code: 1,
        out: '',
        err: expect.stringContaining('bad.yaml:1:25 origins.shop.url'),
      });
      const json = await place.weir([...command, '--config', 'bad.yaml', '--json']);
      expect(JSON.parse(json.out)).toMatchObject({ ok: false, errors: [{ path: 'origins.shop.url' }] });
    }
  });
});

describe('weir purge', () => {
  it('invalidates through the admin side that the configuration names', async () => {
    const invalidated = await runAdmin();
    const ran = await place.weir(['purge', '--config', 'running.yaml', '--url', '/a', '--tag', 't']);
    expect(ran).toEqual({ code: 0, out: 'purged 2 tags, sequence 7\n', err: '' });
    expect(invalidated).toEqual(['url:/a', 'tag:t']);
    const json = await place.weir(['purge', '--config', 'running.yaml', '--all', '--json']);
    expect(JSON.parse(json.out)).toEqual({ sequence: 7, tags: 1 });
  });

  it('only counts in a dry run', async () => {
    const invalidated = await runAdmin();
    const ran = await place.weir(['purge', '--config', 'running.yaml', '--all', '--dry-run']);
    expect(ran.out).toBe('at least 3 entries would be purged\n  /a\n  /b\n  ...\n');
    expect(invalidated).toEqual([]);
  });

  it('prints why it failed', async () => {
    await runAdmin('another');
    const refused = await place.weir(['purge', '--config', 'running.yaml', '--all']);
    expect(refused).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringContaining('rejected the token'),
    });
    await close?.();
    await runAdmin();
    const unknown = await place.weir(['purge', '--config', 'running.yaml', '--route', 'lst']);
    expect(unknown).toMatchObject({
      code: 1,
      err: 'weir purge: routes[0]: expected one of default, got "lst"\n',
    });
  });

  it('reports that nothing listens', async () => {
    const port = await freePort();
    await place.write('idle.yaml', `${ORIGIN}admin: { port: ${port} }\n`);
    const ran = await place.weir(['purge', '--config', 'idle.yaml', '--all']);
    expect(ran).toEqual({
      code: 1,
      out: '',
      err: `weir purge: nothing listens at http://127.0.0.1:${port}, the admin side: is weir serve running?\n`,
    });
  });

  it('reports a failure also in JSON', async () => {
    const port = await freePort();
    await place.write('idle.yaml', `${ORIGIN}admin: { port: ${port} }\n`);
    const idle = await place.weir(['purge', '--config', 'idle.yaml', '--all', '--json']);
    expect(idle.code).toBe(1);
    const nothing = {
      kind: 'unreachable',
      status: null,
      message: expect.stringContaining('nothing listens'),
    };
    expect(JSON.parse(idle.out)).toEqual({ ok: false, errors: [nothing] });
    await runAdmin('another');
    const refused = await place.weir(['purge', '--config', 'running.yaml', '--all', '--json']);
    expect(refused.code).toBe(1);
    const token = { kind: 'refused', status: 401, message: expect.stringContaining('rejected the token') };
    expect(JSON.parse(refused.out)).toEqual({ ok: false, errors: [token] });
  });
});

describe('a command that talks to a running Weir', () => {
  /** The address of the admin side that `runAdmin` started, and an empty directory. */
  async function away() {
    await runAdmin();
    const { admin } = configOf(await readFile(join(place.directory, 'running.yaml'), 'utf8'));
    const empty = await newPlace();
    return { url: `http://127.0.0.1:${admin.port}`, empty };
  }

  it('needs no configuration file with --admin and --token, or with the environment variables', async () => {
    const { url, empty } = await away();
    const given = ['--admin', url, '--token', 'secret'];
    const env = { WEIR_ADMIN: url, WEIR_ADMIN_TOKEN: 'secret' };
    const purged = { code: 0, out: 'purged 1 tag, sequence 7\n', err: '' };
    expect(await empty.weir(['purge', '--all', ...given])).toEqual(purged);
    expect(await empty.weir(['purge', '--all'], [], env)).toEqual(purged);
    expect(await empty.weir(['writes', 'list', ...given])).toEqual({ code: 0, out: 'none\n', err: '' });
    const explained = await empty.weir(['explain', 'GET', '/a'], [], env);
    expect(explained).toEqual({ code: 0, out: 'GET /a\nKey\n  k\nStored\n  nothing\n', err: '' });
    const denied = await empty.weir(['purge', '--all', '--admin', url]);
    expect(denied).toMatchObject({ code: 1, err: expect.stringContaining('requires a token: use --token') });
    const wrong = await empty.weir(['purge', '--all'], [], { WEIR_ADMIN: '127.0.0.1:8081' });
    expect(wrong).toMatchObject({
      code: 1,
      err: expect.stringContaining('WEIR_ADMIN: expected an http(s) URL'),
    });
    await empty.remove();
  });

  it('prefers a file that is named to the environment', async () => {
    await runAdmin();
    const env = { WEIR_ADMIN: 'http://127.0.0.1:1' };
    const ran = await place.weir(['purge', '--all', '--config', 'running.yaml'], [], env);
    expect(ran.code).toBe(0);
  });

  it('needs no secrets of the file except those of the admin side', async () => {
    await runAdmin();
    const running = await readFile(join(place.directory, 'running.yaml'), 'utf8');
    const feeds = 'feeds: { orders: { type: webhook, path: /hook, secret: "${NO_SUCH_SECRET}" } }\n';
    await place.write('secrets.yaml', running + feeds);
    expect(await place.weir(['purge', '--all', '--config', 'secrets.yaml'])).toMatchObject({
      code: 0,
      err: '',
    });
    await place.write('secrets.yaml', running.replace('token: secret', 'token: "${NO_SUCH_SECRET}"'));
    expect(await place.weir(['purge', '--all', '--config', 'secrets.yaml'])).toMatchObject({
      code: 1,
      err: expect.stringContaining('admin.token: expected the environment variable NO_SUCH_SECRET'),
    });
  });
});

describe('a server that answers every request with JSON but is not Weir', () => {
  it.each([
    'purge --all',
    'purge --all --dry-run',
    'reload',
    'stop',
    'writes list',
    'writes show a',
    'writes retry a',
    'writes discard a',
    'explain GET /a',
  ])('is recognised by weir %s', async (line) => {
    const bare = await newPlace();
    const args = line.split(' ');
    const server = createServer((_, response) => {
      response.setHeader('Content-Type', 'application/json');
      response.end('{"id":1,"state":"ok","detail":"Welcome","entries":[]}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    close = async () => {
      server.close();
      await bare.remove();
    };
    const admin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    expect(await bare.weir([...args, '--admin', admin])).toEqual({
      code: 1,
      out: '',
      err: `weir ${args[0]}: the server at ${admin} is not Weir's admin side\n`,
    });
  });
});

describe('weir explain', () => {
  it('prints text for people', async () => {
    await runAdmin();
    const ran = await place.weir(['explain', 'GET', '/a', '--config', 'running.yaml']);
    expect(ran).toMatchObject({ code: 0, err: '' });
    expect(ran.out).toContain('> default: matches /*\n');
    expect(ran.out).toContain('200 with Cache-Control: max-age=60: stored, fresh for 1m (max-age)\n');
    expect(ran.out).toMatch(/Stored\n {2}nothing\n$/);
  });

  it('prints JSON for programs', async () => {
    await runAdmin();
    const ran = await place.weir(['explain', 'GET', '/a', '--config', 'running.yaml', '--json']);
    expect(JSON.parse(ran.out)).toMatchObject({
      url: 'http://127.0.0.1:8080/a',
      verdict: {
        kind: 'route',
        route: { name: 'default', entry: { tags: expect.arrayContaining(['url:/a']) } },
      },
      stored: { kind: 'known', report: { key: 'k', entries: [] } },
    });
  });

  it('fails where no route takes the request', async () => {
    await place.write('narrow.yaml', `${ORIGIN}routes: [{ match: /a }]\n`);
    const ran = await place.weir(['explain', 'GET', '/b', '--config', 'narrow.yaml']);
    expect(ran).toMatchObject({ code: 1, err: '' });
    expect(ran.out).toContain('No route matches this path: 404\n');
  });
});
