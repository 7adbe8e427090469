import { describe, expect, it } from 'vitest';
import { HealthCells, healthBuffer } from '../../proxy/feeds/health-cells.ts';
import { PositionCells, positionBuffer } from '../../proxy/feeds/position-cells.ts';
import { FakeClock } from './fake-clock.ts';

const MAX_SILENCE_MS = 1_000;

describe('the shared state of a feed', () => {
  function live() {
    const clock = new FakeClock();
    const buffer = healthBuffer();
    new HealthCells(buffer).set({ state: 'live', silentSinceMonotonicMs: clock.monotonicMs() }, clock);
    const cells = new HealthCells(buffer);
    return { clock, trust: () => cells.trust(MAX_SILENCE_MS, 'revalidate', clock) };
  }

  it('is not trusted before a proof of the head', () => {
    const cells = new HealthCells(healthBuffer());
    expect(cells.trust(MAX_SILENCE_MS, 'bypass', new FakeClock())).toBe('bypass');
  });

  it('is not trusted after max-silence, whatever the coordinator writes then', () => {
    const { clock, trust } = live();
    clock.advance(MAX_SILENCE_MS);
    expect(trust()).toBe('live');
    clock.advance(1);
    expect(trust()).toBe('revalidate');
  });

  it('is not trusted after the machine slept and its monotonic clock stopped', () => {
    const { clock, trust } = live();
    clock.jump(MAX_SILENCE_MS + 1);
    expect(trust()).toBe('revalidate');
  });
});

describe('positions in shared memory', () => {
  const now = (): number => performance.now();

  it('are the last written ones in every thread, with any characters', () => {
    const buffer = positionBuffer();
    const [writer, reader] = [new PositionCells(buffer), new PositionCells(buffer)];
    expect([reader.announced, reader.applied]).toEqual([null, null]);
    for (const position of ['1', 'topic@é:1.2.3', 'x'.repeat(4096), '']) {
      writer.announce(position);
      expect(reader.announced).toBe(position);
    }
    writer.apply('7');
    expect([reader.announced, reader.applied]).toEqual(['', '7']);
  });

  it('are unknown if they are too long, and after a gap', () => {
    const cells = new PositionCells(positionBuffer());
    cells.apply('1');
    cells.apply('x'.repeat(4097));
    expect(cells.applied).toBeNull();
    cells.apply('2');
    cells.apply(null);
    expect(cells.applied).toBeNull();
  });

  it('end a wait for them, and no other wait', async () => {
    const buffer = positionBuffer();
    const [writer, reader] = [new PositionCells(buffer), new PositionCells(buffer)];
    const waiting = reader.applies((position) => Number(position) >= 3, 60_000, now);
    writer.apply('1');
    writer.apply('2');
    expect(await reader.applies((position) => position === '3', 0, now)).toBe(false);
    writer.apply('3');
    expect(await waiting).toBe(true);
  });
});
