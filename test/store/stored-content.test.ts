import { describe, expect, it } from 'vitest';
import { readStored } from '../../proxy/store/content.ts';
import type { ContentOnDisk, DiskTier } from '../../proxy/store/disk-tier.ts';
import { content, entry } from './disk/support/entries.ts';

const CHUNK = 100;

/** A disk tier with one body, in chunks of 100 bytes. Counts the pins on it. */
function diskWith(body: Buffer) {
  let pins = 0;
  let pinned = 0;
  const read = (_head: ContentOnDisk, position: number): Buffer =>
    body.subarray(position, Math.min(body.length, position - (position % CHUNK) + CHUNK));
  const pin = (): (() => void) => {
    pins += 1;
    pinned += 1;
    return () => {
      pinned -= 1;
    };
  };
  return { disk: { read, pin } as unknown as DiskTier, pins: () => pins, pinned: () => pinned };
}

function bodyOf(sizeBytes: number, from = 0) {
  const body = content(1, sizeBytes);
  const { disk, pins, pinned } = diskWith(body);
  const tiers = { disk, discard: () => Promise.reject(new Error('no chunk is missing')) };
  const reader = readStored({ head: entry(1, { sizeBytes }), tiers }, from, () => {});
  const pieces: Uint8Array[] = [];
  const pinnedBetween: number[] = [];
  for (let piece = reader.next(); piece.kind === 'bytes'; piece = reader.next()) {
    pieces.push(piece.bytes);
    reader.advance(piece.bytes.byteLength);
    pinnedBetween.push(pinned());
  }
  reader.close();
  expect(Buffer.concat(pieces)).toEqual(body.subarray(from));
  return { pins: pins(), pinned: pinned(), pinnedBetween };
}

describe('content on disk', () => {
  it('is pinned while chunks of it are still unread, and unpinned at the end', () => {
    expect(bodyOf(250)).toEqual({ pins: 1, pinned: 0, pinnedBetween: [1, 1, 1] });
  });

  it('is not pinned for a reader that needs only one chunk', () => {
    expect(bodyOf(100)).toEqual({ pins: 0, pinned: 0, pinnedBetween: [0] });
    expect(bodyOf(250, 200)).toEqual({ pins: 0, pinned: 0, pinnedBetween: [0] });
    expect(bodyOf(0)).toEqual({ pins: 0, pinned: 0, pinnedBetween: [] });
  });

  it('is cut at a damaged chunk, after the entry was discarded for every worker', async () => {
    const discarded = Promise.withResolvers<void>();
    const { disk } = diskWith(content(1, 250));
    const damaged = {
      ...disk,
      read: (head: ContentOnDisk, at: number) => (at < 100 ? disk.read(head, at) : null),
    };
    const lost: string[] = [];
    const discard = ({ id }: { id: string }): Promise<void> => {
      lost.push(id);
      return discarded.promise;
    };
    const progress = Promise.withResolvers<void>();
    const head = entry(1, { sizeBytes: 250 });
    const reader = readStored({ head, tiers: { disk: damaged, discard } }, 0, progress.resolve);
    expect(reader.next().kind).toBe('bytes');
    reader.advance(100);
    expect([reader.next().kind, reader.next().kind]).toEqual(['wait', 'wait']);
    expect(lost).toEqual([head.id]);
    discarded.resolve();
    await progress.promise;
    expect(reader.next().kind).toBe('cut');
  });
});
