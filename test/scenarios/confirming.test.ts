/**
 * RFC 9111 §4.3.4 with §4.1: tests that a 304 confirms only what could have been selected for the request.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Fields } from '../../policies/http/fields.ts';
import type { ScriptedOrigin, ScriptedRequest } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir, WORKERS_AND_TIERS } from '../support/weir-fixture.ts';
import { ask, cacheStatusOf, type Answer } from './client.ts';
import { entriesOf } from './observed.ts';

describe.each(WORKERS_AND_TIERS)(
  'a 304 with %i worker(s), %s of memory and %s of disk',
  (workers, memory, disk) => {
    let origin: ScriptedOrigin;
    let weir: RunningWeir;
    let paths = 0;
    let path = '';

    useWeir(
      (url) => `
      listen: { port: 0, workers: ${workers} }
      cache: { memory: ${memory}, disk: { path: ./data, size: ${disk} } }
      origins: { app: { url: "${url}" } }
    `,
      (started) => ({ origin, weir } = started),
    );

    beforeEach(() => {
      origin.forget();
      paths += 1;
      path = `/confirmed-${paths}`;
    });

    /** Resolves with the answer, once the stored entry can be found. */
    async function get(headers: Record<string, string> = {}): Promise<Answer> {
      const answer = await ask(`${weir.url}${path}`, { headers });
      await expect.poll(entries).toBeGreaterThan(0);
      return answer;
    }

    const entries = async (): Promise<number> => (await entriesOf(weir, path)).length;

    /** Answers with content and fields for a request, or with a 304 if the request has the tag. */
    function serve(
      answer: (request: ScriptedRequest) => { fields: Fields; etag: string; body: string },
    ): void {
      origin.on(path, (request) => {
        const { fields, etag, body } = answer(request);
        const all = [...fields, 'ETag', etag];
        const asked = request.headers['if-none-match']?.replaceAll('W/', '') ?? '';
        if (asked.includes(etag.replace('W/', ''))) return { status: 304, fields: all };
        return { fields: all, body };
      });
    }

    function codedBy(etag: string, control = 'max-age=3600'): void {
      serve(({ headers }) => {
        const isCoded = headers['accept-encoding'] !== undefined;
        return {
          fields: [
            'Cache-Control',
            control,
            'Vary',
            'Accept-Encoding',
            ...(isCoded ? ['Content-Encoding', 'gzip'] : []),
          ],
          etag,
          body: isCoded ? 'coded' : 'plain',
        };
      });
    }

    const GZIP = { 'accept-encoding': 'gzip' };

    it.each(['W/"v1"', '"v1"'])(
      'gives no coding to a client that accepts none, although all codings share the tag %s',
      async (etag) => {
        codedBy(etag);
        for (let i = 0; i < 4; i++) {
          expect(await get(GZIP)).toMatchObject({ body: 'coded', headers: { 'content-encoding': 'gzip' } });
          const plain = await get();
          expect(plain.body).toBe('plain');
          expect(plain.headers['content-encoding']).toBeUndefined();
        }
        expect(origin.count()).toBe(2);
      },
    );

    it('confirms each coding by itself where all share a weak tag', async () => {
      codedBy('W/"v1"', 'max-age=0');
      await get(GZIP);
      await get();
      await expect.poll(entries).toBe(2);
      for (let i = 0; i < 2; i++) {
        expect((await get(GZIP)).body).toBe('coded');
        expect((await get()).body).toBe('plain');
      }
      expect(origin.requests.map(({ headers }) => headers['if-none-match'])).toEqual([
        undefined,
        undefined,
        ...Array.from({ length: 4 }, () => 'W/"v1"'),
      ]);
    });

    it('by date confirms only the request’s own variant', async () => {
      const modified = 'Mon, 05 Jan 2026 08:00:00 GMT';
      origin.on(path, ({ headers }) => {
        const kind = headers['x-kind'];
        const fields = ['Cache-Control', 'max-age=3600', 'Vary', 'X-Kind', 'Last-Modified', modified];
        if (headers['if-modified-since'] === modified) return { status: 304, fields };
        return { fields, body: `for ${kind}` };
      });
      for (const kind of ['a', 'b', 'a', 'b'])
        expect((await get({ 'x-kind': kind })).body).toBe(`for ${kind}`);
      expect(origin.count()).toBe(2);
    });

    const FROM_A = { origin: 'https://a.example' };
    const FROM_B = { origin: 'https://b.example' };
    const allowed = ({ headers }: Answer) => headers['access-control-allow-origin'];

    function allowEach(more: (request: ScriptedRequest) => Fields = () => []): void {
      serve((request) => ({
        fields: [
          'Cache-Control',
          'max-age=3600',
          'Vary',
          'Origin',
          'Access-Control-Allow-Origin',
          request.headers.origin ?? 'none',
          'Content-Type',
          'text/css',
          ...more(request),
        ],
        etag: '"same"',
        body: 'content',
      }));
    }

    it('with a strong tag reuses its content for another variant, with the fields of that 304', async () => {
      allowEach();
      expect(allowed(await get(FROM_A))).toBe('https://a.example');
      const b = await get(FROM_B);
      expect(b).toMatchObject({ status: 200, body: 'content', headers: { 'content-type': 'text/css' } });
      expect(cacheStatusOf(b)).toMatchObject({ 'fwd-status': '304', stored: true });
      for (let i = 0; i < 4; i++) {
        for (const from of [FROM_A, FROM_B]) {
          const answer = await get(from);
          expect(answer).toMatchObject({ status: 200, body: 'content' });
          expect(allowed(answer)).toBe(from.origin);
          const status = cacheStatusOf(answer);
          expect(status['hit'] === true || status['collapsed'] === true).toBe(true);
        }
      }
      expect(origin.requests.map(({ headers }) => headers['if-none-match'])).toEqual([undefined, '"same"']);
    });

    it('takes no missing field from another variant', async () => {
      allowEach(({ headers }) =>
        headers['if-none-match'] === undefined ? ['X-For', String(headers.origin)] : [],
      );
      for (let i = 0; i < 3; i++) {
        for (const from of [FROM_A, FROM_B]) expect((await get(from)).headers['x-for']).toBe(from.origin);
      }
    });

    it('with the strong tag confirms an entry whose tag the origin weakens for coded content', async () => {
      origin.on(path, ({ headers }) => {
        const fields = ['Cache-Control', 'max-age=0', 'Vary', 'Accept-Encoding'];
        if (headers['if-none-match'] === 'W/"v1"')
          return { status: 304, fields: [...fields, 'ETag', '"v1"'] };
        return { fields: [...fields, 'ETag', 'W/"v1"', 'Content-Encoding', 'gzip'], body: 'coded' };
      });
      for (let i = 0; i < 3; i++) {
        expect(await get(GZIP)).toMatchObject({ body: 'coded', headers: { etag: 'W/"v1"' } });
      }
      expect(origin.count()).toBe(3);
      expect(origin.requests.filter(({ headers }) => headers['if-none-match'] === 'W/"v1"')).toHaveLength(2);
    });
  },
);
