/** RFC 9111 §4.3.3 to §4.3.5: tests how answers that are not stored affect stored entries. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Fields } from '../../policies/http/fields.ts';
import { startScriptedOrigin, type PlainAnswer, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { useWeir, WORKERS_AND_TIERS } from '../support/weir-fixture.ts';
import { ask, type Answer } from './client.ts';
import { entriesOf } from './observed.ts';
import { purge, seen } from './purging.ts';

const CLIENTS = 6;
const WINDOWS = 'stale-while-revalidate=600, stale-if-error=600';

describe.each(WORKERS_AND_TIERS)(
  'with %i worker(s), %s of memory and %s of disk',
  (workers, memory, disk) => {
    let origin: ScriptedOrigin;
    let weir: RunningWeir;
    let paths = 0;
    let path = '';

    useWeir(
      (url) => `
      listen: { port: 0, workers: ${workers} }
      cache: { memory: ${memory}, disk: { path: ./data, size: ${disk} }, max-object: 64KiB }
      origins: { app: { url: "${url}" } }
      routes:
        - { name: windows, match: /windows/*, cache: { stale-if-error: 10m } }
        - { name: honor, match: /honor/*, cache: { client-directives: honor } }
        - { name: parts, match: /parts/*, cache: { range-miss: pass } }
        - { name: all, match: /* }
    `,
      (started) => ({ origin, weir } = started),
    );

    beforeEach(() => next(''));

    function next(folder: string): void {
      origin.forget();
      paths += 1;
      path = `${folder}/page-${paths}`;
    }

    const get = (headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> =>
      ask(`${weir.url}${path}`, { headers, method });

    const entries = async (): Promise<number> => (await entriesOf(weir, path)).length;

    /** Stores an entry on every worker that gets the clients' requests. */
    async function store(
      control: string,
      more: Fields = [],
      headers: Record<string, string> = {},
    ): Promise<void> {
      origin.on(path, ({ headers: { 'if-none-match': asked } }) => {
        const fields = ['Cache-Control', control, 'ETag', '"1"', ...more];
        return asked?.includes('"1"') ? { status: 304, fields } : { fields, body: 'old' };
      });
      for (let i = 0; i < CLIENTS; i++) expect((await get(headers)).body).toBe('old');
      await expect.poll(entries).toBeGreaterThan(0);
    }

    const down = (): void => origin.on(path, (_request, answer) => answer.cut());

    const unstored: [string, PlainAnswer][] = [
      ['404', { status: 404, fields: ['Cache-Control', 'no-store'], body: 'new' }],
      ['403', { status: 403, fields: ['Cache-Control', 'no-store'], body: 'new' }],
      ['200 private', { fields: ['Cache-Control', 'private', 'ETag', '"1p"'], body: 'new' }],
      ['200 with a cookie', { fields: ['Cache-Control', 'max-age=60', 'Set-Cookie', 'a=b'], body: 'new' }],
      ['200 that is too large', { fields: ['Cache-Control', 'max-age=60'], body: 'new'.padEnd(70_000) }],
    ];

    /** Every client gets the origin's answer from now on, and the old entry stands in for nothing. */
    async function expectOutdated(status: number): Promise<void> {
      for (let i = 0; i < CLIENTS; i++) {
        const answer = await get();
        expect([answer.status, answer.body.trim()]).toEqual([status, 'new']);
      }
      down();
      for (let i = 0; i < CLIENTS; i++) expect((await get()).status).toBe(502);
    }

    /** The origin was asked, and the entry is served as before. */
    async function expectRefreshed(): Promise<void> {
      origin.forget();
      const asked = async (): Promise<number> => {
        expect((await get()).body).toBe('old');
        return origin.count(path);
      };
      await expect.poll(asked).toBeGreaterThan(0);
      for (let i = 0; i < CLIENTS; i++) expect((await get()).body).toBe('old');
    }

    describe('a refresh in the background', () => {
      it.each(unstored)('that gets a %s ends the stale windows', async (_, answer) => {
        await store(`max-age=0, ${WINDOWS}`);
        origin.on(path, answer);
        await get();
        await expect.poll(async () => (await get()).body.trim()).toBe('new');
        await expectOutdated(answer.status ?? 200);
      });

      it('that gets a 404 after a soft purge ends the stale windows', async () => {
        await store(`max-age=3600, ${WINDOWS}`);
        await purge(weir, { urls: [path], mode: 'soft' });
        origin.on(path, unstored[0]![1]);
        expect((await get()).body).toBe('old');
        await expect.poll(async () => (await get()).body).toBe('new');
        await expectOutdated(404);
      });

      it('that stores a 404 leaves no older entry', async () => {
        await store(`max-age=0, ${WINDOWS}`);
        origin.on(path, { status: 404, fields: ['Cache-Control', 'max-age=600'], body: 'new' });
        await get();
        await expect.poll(() => seen(weir, path, CLIENTS)).toEqual(new Set(['404']));
      });

      it.each([503, 429])('that gets a %i changes nothing', async (status) => {
        await store(`max-age=0, ${WINDOWS}`);
        origin.on(path, { status, fields: ['Cache-Control', 'no-store'], body: 'trouble' });
        await expectRefreshed();
      });

      it('that is cut changes nothing', async () => {
        await store(`max-age=0, ${WINDOWS}`);
        origin.on(path, async (_request, answer) => {
          answer.head(200, ['Cache-Control', 'max-age=60', 'Content-Length', '10']);
          await answer.write('new');
          answer.cut();
        });
        await expectRefreshed();
      });
    });

    describe('a client’s own request', () => {
      it.each(unstored)('that gets a %s outdates an entry that may stand in', async (_, answer) => {
        await store('max-age=0, stale-if-error=600');
        origin.on(path, answer);
        await expectOutdated(answer.status ?? 200);
      });

      it.each([
        ['forbids storing', { 'cache-control': 'no-store' }],
        ['reloads', { 'cache-control': 'no-cache' }],
      ])('that %s outdates the entry for others', async (_, headers) => {
        next('/honor');
        await store('max-age=0, stale-if-error=600');
        origin.on(path, unstored[0]![1]);
        expect((await get(headers)).status).toBe(404);
        down();
        expect(await seen(weir, path, CLIENTS)).toEqual(new Set(['502']));
      });

      it('that reloads a fresh entry outdates it', async () => {
        next('/honor');
        await store('max-age=3600, stale-if-error=600');
        origin.on(path, unstored[0]![1]);
        expect((await get({ 'cache-control': 'no-cache' })).status).toBe(404);
        expect(await seen(weir, path, CLIENTS)).toEqual(new Set(['404']));
      });

      it('with a condition for the origin outdates a fresh entry only where the answer differs', async () => {
        await store(`max-age=3600, ${WINDOWS}`);
        const condition = { 'if-match': '"2"' };
        origin.on(path, { status: 412 });
        expect((await get(condition)).status).toBe(412);
        expect(await seen(weir, path, CLIENTS)).toEqual(new Set(['old']));
        origin.on(path, { fields: ['Cache-Control', 'max-age=60', 'ETag', '"2"'], body: 'new' });
        expect((await get(condition)).body).toBe('new');
        expect(await seen(weir, path, CLIENTS)).toEqual(new Set(['new']));
      });

      it('does not affect entries for other requests', async () => {
        await store('max-age=0, stale-if-error=600', ['Vary', 'X-Kind'], { 'x-kind': 'a' });
        origin.on(path, unstored[0]![1]);
        expect((await get({ 'x-kind': 'b' })).status).toBe(404);
        down();
        expect((await get({ 'x-kind': 'a' })).body).toBe('old');
        origin.on(path, unstored[0]![1]);
        expect((await get({ 'x-kind': 'a' })).status).toBe(404);
        down();
        for (let i = 0; i < CLIENTS; i++) expect((await get({ 'x-kind': 'a' })).status).toBe(502);
      });

      it('for a range that shows another representation outdates the other parts', async () => {
        next('/parts');
        const part = (etag: string, range: string, body: string): PlainAnswer => ({
          status: 206,
          fields: ['Cache-Control', 'max-age=3600', 'ETag', etag, 'Content-Range', `bytes ${range}/10`],
          body,
        });
        origin.on(path, part('"1"', '0-3', 'aaaa'));
        for (let i = 0; i < CLIENTS; i++) expect((await get({ range: 'bytes=0-3' })).body).toBe('aaaa');
        await expect.poll(entries).toBeGreaterThan(0);
        origin.on(path, part('"2"', '6-9', 'bbbb'));
        expect((await get({ range: 'bytes=6-9' })).body).toBe('bbbb');
        origin.on(path, part('"2"', '0-3', 'cccc'));
        await expect.poll(async () => (await get({ range: 'bytes=0-3' })).body).toBe('cccc');
        for (let i = 0; i < CLIENTS; i++) expect((await get({ range: 'bytes=0-3' })).body).toBe('cccc');
      });
    });

    describe('an error response that may be stored', () => {
      const trouble = (control: string): PlainAnswer => ({
        status: 503,
        fields: ['Cache-Control', control],
        body: 'trouble',
      });

      it('does not displace an entry that stands in for it, even if it allows as much for itself', async () => {
        await store('max-age=0, stale-if-error=600');
        origin.on(path, trouble('max-age=1, stale-if-error=600'));
        for (let i = 0; i < CLIENTS; i++) expect((await get()).body).toBe('old');
        down();
        for (let i = 0; i < CLIENTS; i++) expect((await get()).body).toBe('old');
      });

      it('does not displace an entry that stands in for it by the route’s stale-if-error', async () => {
        next('/windows');
        await store('max-age=0');
        origin.on(path, trouble('max-age=600'));
        for (let i = 0; i < CLIENTS; i++) expect((await get()).body).toBe('old');
      });

      it('does not stand in for errors', async () => {
        next('/windows');
        origin.on(path, trouble(`max-age=60, ${WINDOWS}`));
        origin.on(path, {
          ...trouble(''),
          fields: ['Cache-Control', `max-age=60, ${WINDOWS}`, 'Age', '120', 'ETag', '"e"'],
        });
        expect((await get()).status).toBe(503);
        down();
        for (let i = 0; i < CLIENTS; i++) expect((await get()).status).toBe(502);
      });
    });

    describe('HEAD', () => {
      const head = (headers: Record<string, string> = {}): Promise<Answer> => get(headers, 'HEAD');

      /** In chunks, so that no field states its length. */
      async function storeChunked(control: string, more: Fields = [], headers: Record<string, string> = {}) {
        origin.on(path, (_request, answer) => {
          answer.head(200, ['Cache-Control', control, 'Age', '120', ...more]);
          void answer.write('hello');
          answer.end();
        });
        expect((await get(headers)).body).toBe('hello');
        await expect.poll(entries).toBeGreaterThan(0);
      }

      it.each([
        ['5', []],
        ['500', ['Content-Encoding', 'br']],
      ] as [string, Fields][])(
        'with a length that fits (%s, %j) leaves an entry that stands in',
        async (length, more) => {
          await storeChunked('max-age=60, stale-if-error=600');
          origin.on(path, {
            fields: [
              'Cache-Control',
              'max-age=60, stale-if-error=600',
              'Age',
              '120',
              'Content-Length',
              length,
              ...more,
            ],
          });
          await head();
          down();
          for (let i = 0; i < CLIENTS; i++) expect((await get()).body).toBe('hello');
        },
      );

      it('that shows another state makes the entry stale on every worker, and lets it stand in', async () => {
        next('/honor');
        await store(`max-age=3600, ${WINDOWS}`);
        origin.on(path, { fields: ['Cache-Control', 'max-age=3600', 'ETag', '"2"'], body: 'new' });
        await head({ 'cache-control': 'no-cache' });
        origin.on(path, (_request, answer) => answer.cut());
        expect(await seen(weir, path, CLIENTS)).toEqual(new Set(['old']));
        origin.on(path, { fields: ['Cache-Control', 'max-age=3600', 'ETag', '"2"'], body: 'new' });
        // The failure is remembered for a moment.
        await expect.poll(() => seen(weir, path, CLIENTS)).toEqual(new Set(['new']));
      });

      it('that shows another state does not affect other variants', async () => {
        next('/honor');
        await store('max-age=3600', ['Vary', 'X-Kind'], { 'x-kind': 'a' });
        origin.forget();
        origin.on(path, { fields: ['Cache-Control', 'max-age=3600', 'Vary', 'X-Kind', 'ETag', '"2"'] });
        await head({ 'x-kind': 'b', 'cache-control': 'no-cache' });
        down();
        for (let i = 0; i < CLIENTS; i++) expect((await get({ 'x-kind': 'a' })).body).toBe('old');
      });

      it.each([404, 301])('with status %i outdates the entry', async (status) => {
        await store(`max-age=0, stale-if-error=600`);
        origin.on(path, { status, fields: ['Cache-Control', 'no-store'] });
        await head();
        down();
        expect(await seen(weir, path, CLIENTS)).toEqual(new Set(['502']));
      });

      it.each([405, 503])('with status %i leaves an entry that stands in', async (status) => {
        await store(`max-age=0, stale-if-error=600`);
        origin.on(path, { status, fields: ['Cache-Control', 'no-store'] });
        await head();
        down();
        expect(await seen(weir, path, CLIENTS)).toEqual(new Set(['old']));
      });
    });
  },
);

it('an outdated entry stays outdated over a restart', async () => {
  const origin = await startScriptedOrigin();
  const yaml = `origins: { app: { url: "${origin.url}" } }`;
  const first = await startWeir(yaml);
  origin.on('/a', { fields: ['Cache-Control', `max-age=0, ${WINDOWS}`, 'ETag', '"1"'], body: 'old' });
  await ask(`${first.url}/a`);
  origin.on('/a', { status: 404, fields: ['Cache-Control', 'no-store'], body: 'new' });
  await expect.poll(async () => (await ask(`${first.url}/a`)).status).toBe(404);
  await first.kill();
  const second = await startWeir(yaml, { folder: first.folder });
  origin.on('/a', (_request, answer) => answer.cut());
  expect((await ask(`${second.url}/a`)).status).toBe(502);
  await second.stop();
  await origin.close();
});
