/** Tests a client's reload of a fresh entry (RFC 9111 §5.2.1.4), on two workers. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { gate } from '../support/barrier.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { ask, askHead, readAll } from './client.ts';
import { seen, startVersionedOrigin, type VersionedOrigin } from './purging.ts';

const CLIENTS = 12;
const RELOAD = { 'cache-control': 'no-cache' };

let origin: VersionedOrigin;
let weir: RunningWeir;

beforeAll(async () => {
  origin = await startVersionedOrigin();
  weir = await startWeir(`
    cache: { memory: 64MiB, disk: { path: ./data, size: 256MiB }, max-object: 16KiB }
    origins: { app: { url: "${origin.url}" } }
    routes: [{ name: all, match: /*, cache: { client-directives: honor } }]
  `);
});

beforeEach(() => {
  origin.forget();
  origin.more = [];
});

afterAll(async () => {
  await weir?.stop();
  await origin.close();
});

/** The values of the field that clients of both workers get. */
async function valuesOf(path: string, field: string): Promise<Set<string | undefined>> {
  const answers = await Promise.all(Array.from({ length: CLIENTS }, () => ask(`${weir.url}${path}`)));
  return new Set(answers.map(({ headers }) => headers[field]));
}

describe('RFC 9111 §4.3.5: a HEAD that freshens what is stale', () => {
  it('saves the origin a GET on every worker', async () => {
    const stale = ['Age', '3600'];
    let more = stale;
    origin.on('/stale', ({ method, headers }) => {
      const fields = ['Cache-Control', 'max-age=3600', 'ETag', '"0"', ...more];
      if (method === 'GET' && headers['if-none-match'] === '"0"') return { status: 304, fields };
      return { fields, body: method === 'GET' ? 'stored' : '' };
    });
    for (let i = 0; i < CLIENTS; i++) await ask(`${weir.url}/stale`);
    more = [];
    await ask(`${weir.url}/stale`, { method: 'HEAD' });
    origin.forget();
    expect(await seen(weir, '/stale', CLIENTS)).toEqual(new Set(['stored']));
    expect(origin.count()).toBe(0);
  });
});

describe("an answer to a client's reload counts on every worker when it arrives", () => {
  it('where it is new', async () => {
    await seen(weir, '/new', CLIENTS);
    origin.change('/new');
    origin.forget();
    expect((await ask(`${weir.url}/new`, { headers: RELOAD })).body).toBe('/new 1');
    expect(await seen(weir, '/new', CLIENTS)).toEqual(new Set(['/new 1']));
    expect(origin.count()).toBe(1);
  });

  it('where its content is still arriving, for those who then wait for it', async () => {
    await seen(weir, '/slow', CLIENTS);
    const held = gate();
    origin.on('/slow', async (_request, answer) => {
      answer.head(200, ['Cache-Control', 'max-age=3600', 'ETag', '"1"', 'Content-Length', '4']);
      void answer.write('ne');
      await held.promise;
      void answer.write('w!');
      answer.end();
    });
    origin.forget();
    const reload = await askHead(`${weir.url}/slow`, { headers: RELOAD });
    const others = Array.from({ length: CLIENTS }, () => ask(`${weir.url}/slow`));
    held.open();
    expect((await readAll(reload)).body).toBe('new!');
    expect(new Set((await Promise.all(others)).map(({ body }) => body))).toEqual(new Set(['new!']));
    expect(await seen(weir, '/slow', CLIENTS)).toEqual(new Set(['new!']));
    expect(origin.count()).toBe(1);
  });

  it('where it is too large to be stored, for the client that asked', async () => {
    await seen(weir, '/grown', CLIENTS);
    const grown = 'grown'.repeat(4_000);
    origin.on('/grown', (_request, answer) => {
      answer.head(200, ['Cache-Control', 'max-age=3600', 'ETag', '"1"']);
      void answer.write(grown);
      answer.end();
    });
    expect((await ask(`${weir.url}/grown`, { headers: RELOAD })).body.length).toBe(grown.length);
  });

  it('where a 304 changes its fields', async () => {
    await seen(weir, '/fields', CLIENTS);
    origin.more = ['X-Shelf', 'b'];
    origin.forget();
    await ask(`${weir.url}/fields`, { headers: RELOAD });
    expect(await valuesOf('/fields', 'x-shelf')).toEqual(new Set(['b']));
    expect(origin.requests.map(({ headers }) => headers['if-none-match'])).toEqual(['"0"']);
  });

  it('where a HEAD changes its fields', async () => {
    await seen(weir, '/head', CLIENTS);
    origin.more = ['X-Shelf', 'c'];
    await ask(`${weir.url}/head`, { method: 'HEAD', headers: RELOAD });
    expect(await valuesOf('/head', 'x-shelf')).toEqual(new Set(['c']));
  });

  it('where a 304 forbids storing', async () => {
    await seen(weir, '/private', CLIENTS);
    origin.more = ['Cache-Control', 'private'];
    origin.change('/private');
    origin.on('/private', (request) =>
      request.headers['if-none-match'] === undefined
        ? { fields: ['Cache-Control', 'private'], body: 'for you' }
        : { status: 304, fields: ['Cache-Control', 'private', 'ETag', '"0"'] },
    );
    expect((await ask(`${weir.url}/private`, { headers: RELOAD })).body).toBe('for you');
    expect(await seen(weir, '/private', CLIENTS)).toEqual(new Set(['for you']));
  });

  it('and costs only a 304 where nothing has changed', async () => {
    await seen(weir, '/same', CLIENTS);
    origin.forget();
    await ask(`${weir.url}/same`, { headers: RELOAD });
    expect(await seen(weir, '/same', CLIENTS)).toEqual(new Set(['/same 0']));
    expect(origin.count()).toBe(1);
  });
});
