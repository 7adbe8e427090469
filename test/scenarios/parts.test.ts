import { beforeEach, describe, expect, it } from 'vitest';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import type { RunningWeir } from '../support/weir.ts';
import { useWeir } from '../support/weir-fixture.ts';

const CONTENT = '0123456789';
let origin: ScriptedOrigin;
let weir: RunningWeir;
let paths = 0;
let path = '';

beforeEach(() => {
  paths += 1;
  path = `/part-${paths}`;
  serve('"1"');
});

/** An origin that supports ranges and If-Range, with the given tag. */
function serve(etag: string | null, content = CONTENT): void {
  origin.on(path, ({ headers }) => {
    const fields = ['Cache-Control', 'max-age=60', ...(etag === null ? [] : ['ETag', etag])];
    const range = /^bytes=(\d*)-(\d*)$/.exec(headers.range ?? '');
    const ifRange = headers['if-range'];
    if (range === null || (ifRange !== undefined && ifRange !== etag)) return { fields, body: content };
    const [, from, to] = range as unknown as [string, string, string];
    const first = from === '' ? content.length - Number(to) : Number(from);
    const last = from === '' || to === '' ? content.length - 1 : Number(to);
    const contentRange = `bytes ${first}-${last}/${content.length}`;
    return {
      status: 206,
      fields: [...fields, 'Content-Range', contentRange],
      body: content.slice(first, last + 1),
    };
  });
}

async function get(
  range?: string,
  more: Record<string, string> = {},
): Promise<[number, string | null, string]> {
  const headers = range === undefined ? more : { range, ...more };
  const response = await fetch(`${weir.url}${path}`, { headers });
  return [response.status, response.headers.get('content-range'), await response.text()];
}

function askedRanges(): (string | undefined)[] {
  return origin.requests.filter(({ url }) => url === path).map(({ headers }) => headers.range);
}

describe.each([1, 2])(
  'with %i worker(s), a route that requests the same ranges as its clients',
  (workers) => {
    useWeir(
      (url) => `
      listen: { port: 0, workers: ${workers} }
      origins: { app: { url: "${url}" } }
      routes: [{ name: all, match: /*, origin: app, cache: { range-miss: pass } }]`,
      (started) => ({ origin, weir } = started),
    );

    it('stores a part, and cuts ranges within it from it', async () => {
      expect(await get('bytes=2-7')).toEqual([206, 'bytes 2-7/10', '234567']);
      expect(await get('bytes=2-7')).toEqual([206, 'bytes 2-7/10', '234567']);
      expect(await get('bytes=3-4')).toEqual([206, 'bytes 3-4/10', '34']);
      expect(askedRanges()).toEqual(['bytes=2-7']);
    });

    it('cuts an open end and a suffix from a part that reaches the end', async () => {
      await get('bytes=-5');
      expect(await get('bytes=6-')).toEqual([206, 'bytes 6-9/10', '6789']);
      expect(await get('bytes=-1')).toEqual([206, 'bytes 9-9/10', '9']);
      expect(askedRanges()).toEqual(['bytes=-5']);
    });

    it('requests what lies outside', async () => {
      await get('bytes=2-4');
      expect(await get('bytes=4-6')).toEqual([206, 'bytes 4-6/10', '456']);
      expect(askedRanges()).toEqual(['bytes=2-4', 'bytes=4-6']);
    });

    it('combines parts that touch and share a strong tag', async () => {
      await get('bytes=0-3');
      await get('bytes=4-6');
      expect(await get('bytes=2-5')).toEqual([206, 'bytes 2-5/10', '2345']);
      await get('bytes=7-9');
      expect(await get()).toEqual([200, null, CONTENT]);
      expect(askedRanges()).toEqual(['bytes=0-3', 'bytes=4-6', 'bytes=7-9']);
    });

    it('does not combine parts with another tag, a weak one or none', async () => {
      for (const [one, other] of [
        ['"1"', '"2"'],
        ['W/"1"', 'W/"1"'],
        [null, null],
      ] as const) {
        paths += 1;
        path = `/part-${paths}`;
        serve(one);
        await get('bytes=0-4');
        serve(other);
        await get('bytes=5-9');
        expect(await get('bytes=4-5')).toEqual([206, 'bytes 4-5/10', '45']);
        expect(askedRanges()).toEqual(['bytes=0-4', 'bytes=5-9', 'bytes=4-5']);
      }
    });

    it.each(['bytes=0-4', 'bytes=5-9'])('completes a stored part %s to the whole', async (range) => {
      await get(range);
      expect(await get()).toEqual([200, null, CONTENT]);
      expect(await get()).toEqual([200, null, CONTENT]);
      expect(await get('bytes=1-8')).toEqual([206, 'bytes 1-8/10', '12345678']);
      expect(askedRanges()).toEqual([range, range === 'bytes=0-4' ? 'bytes=5-' : 'bytes=0-4']);
    });

    it('RFC 9211 §2.2 says that a part of the requested range was stored', async () => {
      const forwarded = async (range?: string): Promise<string | undefined> => {
        const answer = await fetch(`${weir.url}${path}`, { headers: range === undefined ? {} : { range } });
        await answer.arrayBuffer();
        return /; fwd=([^;]+)/.exec(answer.headers.get('cache-status') ?? '')?.[1];
      };
      expect(await forwarded('bytes=0-1')).toBe('uri-miss');
      // Another worker finds the part when it is on disk.
      if (workers > 1) return;
      expect(await forwarded('bytes=4-5')).toBe('partial');
      expect(await forwarded()).toBe('partial');
      expect(await forwarded('bytes=6-7')).toBeUndefined();
    });

    it('takes the whole where the rest would be of another representation', async () => {
      await get('bytes=0-4');
      serve('"2"', 'abcdefghij');
      expect(await get()).toEqual([200, null, 'abcdefghij']);
      // Another worker may still have the part in its memory: it is fresh, and nothing has invalidated it.
      if (workers === 1) expect(await get('bytes=0-4')).toEqual([206, 'bytes 0-4/10', 'abcde']);
      expect(askedRanges()).toEqual(['bytes=0-4', 'bytes=5-']);
    });

    it('requests the whole where an origin without If-Range sends the rest of another representation', async () => {
      await get('bytes=0-4');
      origin.on(path, ({ headers }) => {
        const fields = ['Cache-Control', 'max-age=60', 'ETag', '"2"'];
        if (headers.range === undefined) return { fields, body: 'abcdefghij' };
        return { status: 206, fields: [...fields, 'Content-Range', 'bytes 5-9/10'], body: 'fghij' };
      });
      expect(await get()).toEqual([200, null, 'abcdefghij']);
      expect(askedRanges()).toEqual(['bytes=0-4', 'bytes=5-', undefined]);
    });

    it('sends one request for many clients', async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => get('bytes=1-3')));
      expect(answers).toEqual(answers.map(() => [206, 'bytes 1-3/10', '123']));
      expect(askedRanges()).toEqual(['bytes=1-3']);
    });

    it('evaluates If-Range against a part', async () => {
      await get('bytes=0-4');
      expect(await get('bytes=1-2', { 'if-range': '"1"' })).toEqual([206, 'bytes 1-2/10', '12']);
      expect(await get('bytes=1-2', { 'if-range': '"2"' })).toEqual([200, null, CONTENT]);
      expect(askedRanges()).toEqual(['bytes=0-4', 'bytes=1-2']);
    });

    it('stores the whole where the origin answers with it', async () => {
      origin.on(path, { fields: ['Cache-Control', 'max-age=60'], body: CONTENT });
      expect(await get('bytes=1-2')).toEqual([206, 'bytes 1-2/10', '12']);
      expect(await get()).toEqual([200, null, CONTENT]);
      expect(askedRanges()).toEqual(['bytes=1-2']);
    });

    it('passes on, and does not store, a part with another length than stated', async () => {
      const fields = ['Cache-Control', 'max-age=60', 'Content-Range', 'bytes 4-9/10'];
      origin.on(path, { status: 206, fields, body: '56789' });
      expect(await get('bytes=4-9')).toEqual([206, 'bytes 4-9/10', '56789']);
      await get('bytes=4-9');
      expect(askedRanges()).toHaveLength(2);
    });

    it('passes on a 416 and several parts in one response', async () => {
      origin.on(path, { status: 416, fields: ['Content-Range', 'bytes */10'], body: 'no' });
      expect(await get('bytes=20-')).toEqual([416, 'bytes */10', 'no']);
      const type = 'multipart/byteranges; boundary=x';
      origin.on(path, {
        status: 206,
        fields: ['Cache-Control', 'max-age=60', 'Content-Type', type],
        body: '--x--',
      });
      expect(await get('bytes=0-1,4-5')).toEqual([206, null, '--x--']);
      expect(await get('bytes=0-1,4-5')).toEqual([206, null, '--x--']);
      expect(askedRanges()).toHaveLength(3);
    });

    it('does not answer with an invalidated part', async () => {
      await get('bytes=0-4');
      await fetch(`${weir.url}${path}`, { method: 'POST', body: 'x' });
      serve('"2"', 'abcdefghij');
      expect(await get('bytes=0-4')).toEqual([206, 'bytes 0-4/10', 'abcde']);
    });
  },
);
