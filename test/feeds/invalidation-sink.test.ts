import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FeedConfig } from '../../policies/config/config.ts';
import { NO_MARK, type VersionMark } from '../../policies/feed-version.ts';
import { FenceSink } from '../../proxy/feeds/invalidation-sink.ts';
import { PositionCells, positionBuffer } from '../../proxy/feeds/position-cells.ts';
import { Fence } from '../../proxy/fence/fence.ts';
import { SharedWords } from '../../proxy/fence/layout.ts';
import { FenceReader } from '../../proxy/fence/reader.ts';
import { openState, type StateStore } from '../../proxy/state/state-store.ts';
import { systemClock } from '../../proxy/threads/clock.ts';

const FEED: FeedConfig = {
  name: 'shop',
  type: 'sse',
  format: 'json',
  maxSilenceMs: 1_000,
  readLagMs: 0,
  versionField: null,
  map: [],
  options: {},
};

let folder: string;
let state: StateStore;
let fence: Fence;
let cells: PositionCells;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'weir-sink-'));
  await open();
});

afterEach(async () => {
  await state.close();
  rmSync(folder, { recursive: true });
});

async function open(): Promise<void> {
  const opened = await openState(folder, 0);
  if (opened.kind === 'failed') throw new Error(opened.reason);
  state = opened.state;
  fence = await Fence.open(1_000, { state, clock: systemClock });
  cells = new PositionCells(positionBuffer());
}

const sinkOf = (feed: FeedConfig = FEED): FenceSink =>
  new FenceSink(fence, state, feed, ['feed:shop'], cells);
const change = (position: string | null, kind: 'change' | 'gap' = 'change', mark: VersionMark = NO_MARK) =>
  ({ feed: FEED.name, tags: ['tag:a'], position, mark, kind }) as const;

describe('an invalidation sink', () => {
  it('announces a position before its changes are applied, and applies it when they are durable', async () => {
    const sink = sinkOf();
    const reader = new FenceReader(new SharedWords(fence.buffer), systemClock);
    const before = reader.published();
    const applied = sink.apply(change('5'));
    // Applied at once and not yet on disk: a reader of the sequence must find the position announced.
    expect(reader.published()).toBeGreaterThan(before);
    expect([cells.announced, cells.applied]).toEqual(['5', null]);
    await applied;
    expect([cells.announced, cells.applied, sink.position()]).toEqual(['5', '5', '5']);
  });

  it('knows no position after a gap without a position', async () => {
    const sink = sinkOf();
    await sink.apply(change('5'));
    await sink.apply(change(null, 'gap'));
    expect([cells.announced, cells.applied, sink.position()]).toEqual([null, null, '5']);
  });

  it('announces a version before its changes are applied, and keeps it over a restart', async () => {
    const feed = { ...FEED, versionField: 'version' };
    const applied = sinkOf(feed).apply(change('5', 'change', { highest: 2n ** 70n, isKnown: true }));
    expect(cells.version).toBe(String(2n ** 70n));
    await applied;
    await state.close();
    await open();
    expect(sinkOf(feed).mark()).toEqual({ highest: 2n ** 70n, isKnown: true });
    expect(cells.version).toBe(String(2n ** 70n));
    await sinkOf(feed).apply(change('6', 'change', { highest: 2n ** 70n, isKnown: false }));
    expect(cells.version).toBeNull();
    expect(sinkOf(feed).mark()).toEqual({ highest: 2n ** 70n, isKnown: false });
    expect(sinkOf({ ...feed, versionField: 'other' }).mark()).toEqual(NO_MARK);
  });

  it("continues at the position of an earlier run, unless the feed's configuration changed", async () => {
    await sinkOf().apply(change('5'));
    await state.close();
    await open();
    expect([sinkOf().position(), cells.announced, cells.applied]).toEqual(['5', '5', '5']);
    expect(sinkOf({ ...FEED, format: 'debezium' }).position()).toBeNull();
  });
});
