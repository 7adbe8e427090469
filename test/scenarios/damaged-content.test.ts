/**
 * Tests content that is damaged on disk while Weir runs: the entry is deleted when the damage is found, and
 * the next client gets a new one.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CHUNK_BYTES } from '../../proxy/store/disk/format.ts';
import { startScriptedOrigin, type ScriptedOrigin } from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { ask, cacheStatusOf, type Answer, type Asked } from './client.ts';
import { untilFlights } from './observed.ts';

const CHUNKS = 4;
/** The text at the start of each chunk of a version. */
const markOf = (url: string, version: number, chunk: number): string => `${url} v${version} chunk ${chunk};`;

function contentOf(url: string, version: number): string {
  const chunks = Array.from({ length: CHUNKS }, (_, chunk) =>
    markOf(url, version, chunk).padEnd(CHUNK_BYTES, '.'),
  );
  return chunks.join('');
}

let origin: ScriptedOrigin;
let weir: RunningWeir;
const versions = new Map<string, number>();

beforeAll(async () => {
  origin = await startScriptedOrigin(({ url, headers }) => {
    if (headers['if-none-match'] !== undefined && url.includes('confirmed')) {
      return { status: 304, fields: ['ETag', '"e"', 'Cache-Control', 'max-age=600'] };
    }
    const version = (versions.get(url) ?? 0) + 1;
    versions.set(url, version);
    return { fields: ['Cache-Control', 'max-age=600', 'ETag', '"e"'], body: contentOf(url, version) };
  });
  // Entries of this size are not kept in memory, so that each request reads the disk.
  weir = await startWeir(`
    cache: { memory: 1MiB, disk: { path: ./data, size: 64MiB } }
    origins: { app: { url: "${origin.url}" } }
  `);
});

afterAll(async () => {
  await weir.stop();
  await origin.close();
});

const get = (path: string, asked: Asked = {}): Promise<Answer> => ask(`${weir.url}${path}`, asked);

/**
 * Resolves once every worker answers from disk, and none still reads the body of the fetch that stored the
 * entry.
 */
async function store(path: string): Promise<void> {
  await get(path);
  await expect.poll(async () => cacheStatusOf(await get(path))['hit']).toBe(true);
  await untilFlights(weir, ({ running }) => running === 0);
}

/** Overwrites one byte of a chunk in the file that Weir has mapped. */
function damage(path: string, chunk: number): void {
  const file = join(weir.folder, 'data/cache/data.mdb');
  const at = readFileSync(file).indexOf(markOf(path, 1, chunk));
  if (at < 0) throw new Error(`chunk ${chunk} of ${path} is not on disk`);
  const descriptor = openSync(file, 'r+');
  writeSync(descriptor, 'X', at);
  closeSync(descriptor);
}

async function discarded(): Promise<number> {
  return ((await weir.stats()) as { disk: { discarded: number } }).disk.discarded;
}

/** Checks what every client gets after the damage was found. */
async function expectNew(path: string): Promise<void> {
  for (let i = 0; i < 4; i += 1) {
    const answer = await get(path);
    expect(answer).toMatchObject({ status: 200, whole: true });
    expect(answer.body === contentOf(path, 2)).toBe(true);
  }
  expect(versions.get(path)).toBe(2);
}

describe('content that is damaged on disk', () => {
  it.each([1, 2, 3])('after the first chunk cuts only that response, chunk %i', async (chunk) => {
    const path = `/behind/${chunk}`;
    await store(path);
    const before = await discarded();
    damage(path, chunk);
    const cut = await get(path);
    expect(cut).toMatchObject({ status: 200, whole: false });
    expect(cut.body.length).toBe(chunk * CHUNK_BYTES);
    expect(await discarded()).toBe(before + 1);
    await expectNew(path);
  });

  it('in the first chunk is a miss', async () => {
    await store('/first');
    damage('/first', 0);
    await expectNew('/first');
  });

  it('is a miss for a range that begins in it', async () => {
    await store('/range');
    damage('/range', 2);
    const first = 2 * CHUNK_BYTES + 10;
    const answer = await get('/range', { headers: { Range: `bytes=${first}-${first + 9}` } });
    expect(answer).toMatchObject({
      status: 206,
      whole: true,
      body: contentOf('/range', 2).slice(first, first + 10),
    });
    await expectNew('/range');
  });

  it('is a miss for several ranges if one of them begins in it', async () => {
    await store('/ranges');
    damage('/ranges', 3);
    const headers = { Range: `bytes=0-9, ${3 * CHUNK_BYTES}-${3 * CHUNK_BYTES + 9}` };
    expect(await get('/ranges', { headers })).toMatchObject({ status: 206, whole: true });
    await expectNew('/ranges');
  });

  it('cuts a range that ends in it, and is deleted then', async () => {
    await store('/reaching');
    damage('/reaching', 2);
    const headers = { Range: `bytes=0-${3 * CHUNK_BYTES}` };
    expect(await get('/reaching', { headers })).toMatchObject({ status: 206, whole: false });
    await expectNew('/reaching');
  });

  it('is not confirmed by a 304', async () => {
    const path = '/confirmed';
    await store(path);
    damage(path, 2);
    await weir.admin('/purge', { method: 'POST', body: JSON.stringify({ urls: [path] }) });
    const answer = await get(path);
    expect(answer).toMatchObject({ status: 200, whole: true });
    expect(answer.body === contentOf(path, 2)).toBe(true);
    await expectNew(path);
  });

  it('does not matter for HEAD, or for a client that has the content', async () => {
    await store('/head');
    damage('/head', 1);
    expect(await get('/head', { method: 'HEAD' })).toMatchObject({ status: 200 });
    expect(await get('/head', { headers: { 'If-None-Match': '"e"' } })).toMatchObject({ status: 304 });
    expect(versions.get('/head')).toBe(1);
    expect(await get('/head')).toMatchObject({ whole: false });
    await expectNew('/head');
  });

  it('is reported by a log line and a metric', async () => {
    const text = await (await weir.admin('/metrics')).text();
    expect(Number(/^weir_disk_discarded_total (\d+)$/m.exec(text)?.[1])).toBe(await discarded());
    expect(weir.events('disk').some((line) => line['kind'] === 'entry-damaged')).toBe(true);
  });
});
