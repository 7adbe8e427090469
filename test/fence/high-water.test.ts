import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { HighWaterMark } from '../../proxy/fence/high-water.ts';

it('noteTime returns the error of a failed write, and does not throw it in a timer', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-high-water-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'sequence');
  const mark = new HighWaterMark(path);
  expect(mark.noteTime(1_000)).toBeNull();
  mark.close();
  expect(mark.noteTime(2_000)).toMatchObject({ code: 'EBADF' });
  const again = new HighWaterMark(path);
  onTestFinished(() => again.close());
  expect(again.foundTimeMs).toBe(1_000);
});
