import { describe, expect, it } from 'vitest';
import { HealthCells, healthBuffer } from '../../proxy/feeds/health-cells.ts';
import { PositionCells, positionBuffer } from '../../proxy/feeds/position-cells.ts';
import { FakeClock } from './fake-clock.ts';

const MAX_SILENCE_MS = 1_000;

describe('what workers are told of a feed', () => {
  function live() {
    const clock = new FakeClock();
    const buffer = healthBuffer();
    new HealthCells(buffer).set({ state: 'live', silentSinceMonotonicMs: clock.monotonicMs() }, clock);
    const cells = new HealthCells(buffer);
    return { clock, trust: () => cells.trust(MAX_SILENCE_MS, 'revalidate', clock) };
  }

  it('is nothing before it was proved to be at its head', () => {
    const cells = new HealthCells(healthBuffer());
    expect(cells.trust(MAX_SILENCE_MS, 'bypass', new FakeClock())).toBe('bypass');
  });

  it('is worth nothing after max-silence, whatever the coordinator says then', () => {
    const { clock, trust } = live();
    clock.advance(MAX_SILENCE_MS);
    expect(trust()).toBe('live');
    clock.advance(1);
    expect(trust()).toBe('revalidate');
  });

  it('is worth nothing after a sleep of the machine, in which the monotonic clock stood still', () => {
    const { clock, trust } = live();
    clock.jump(MAX_SILENCE_MS + 1);
    expect(trust()).toBe('revalidate');
  });
});

describe('positions in shared memory', () => {
  const now = (): number => performance.now();

  it('are those that were written last, for every thread, whatever is in them', () => {
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

  it('are unknown where they are longer than can be kept, and after a gap', () => {
    const cells = new PositionCells(positionBuffer());
    cells.apply('1');
    cells.apply('x'.repeat(4097));
    expect(cells.applied).toBeNull();
    cells.apply('2');
    cells.apply(null);
    expect(cells.applied).toBeNull();
  });

  it('wake who waits for one, and nobody else', async () => {
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
