import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { Log } from '../../proxy/observability/logger.ts';
import { StartFailure } from '../../proxy/runtime/main-port.ts';
import { openStateFor } from '../../proxy/runtime/state-opening.ts';
import { configOf } from '../config/load.ts';

it("a start fails with the reason where a damaged state can't be moved away", async () => {
  const path = mkdtempSync(join(tmpdir(), 'weir-state-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  mkdirSync(join(path, 'state'));
  writeFileSync(join(path, 'state', 'data.mdb'), 'damaged'.repeat(10_000));
  mkdirSync(join(path, 'state-damaged-1', 'in the way'), { recursive: true });
  const config = configOf(`
    origins: { shop: { url: http://shop.example } }
    cache: { disk: { path: ${path} } }
    routes: [{ name: all, match: /* }]
  `);
  const opening = openStateFor(config, { nowMs: () => 1, monotonicMs: () => 1 }, {} as Log);
  await expect(opening).rejects.toThrow(StartFailure);
  await expect(opening).rejects.toThrow(/its first pages are damaged; it can't be moved away: ENOTEMPTY/);
});
