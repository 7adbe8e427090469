import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { pathSource } from '../../bench/paths.ts';
import type { Report } from '../../bench/report.ts';

const ROOT = new URL('../../', import.meta.url);
const NODE = fileURLToPath(new URL('node_modules/.bin/node', ROOT));
const PROGRAM = fileURLToPath(new URL('bench/run.ts', ROOT));
const run = promisify(execFile);

describe('npm run bench', () => {
  it(
    'reports a hit in memory beside a bare server, as a table and as JSON',
    { timeout: 240_000 },
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'weir-bench-test-'));
      const file = join(folder, 'report.json');
      const { stdout } = await run(NODE, [
        PROGRAM,
        '--scenario',
        'hit-memory',
        '--seconds',
        '1',
        '--json',
        file,
      ]);
      const report = JSON.parse(await readFile(file, 'utf8')) as Report;
      await rm(folder, { recursive: true });
      expect(stdout).toContain('requests/s');
      expect(report.command).toContain('--scenario hit-memory --seconds 1');
      expect(report.machine).toEqual({
        processor: expect.any(String),
        processors: expect.any(Number),
        memoryGiB: expect.any(Number),
        system: expect.stringContaining('linux'),
        node: process.version,
      });
      expect(report.scenarios).toHaveLength(1);
      const [scenario] = report.scenarios;
      expect(scenario).toMatchObject({ name: 'hit-memory', shows: expect.any(String) });
      expect(scenario!.rows[0]).toEqual({
        name: 'weir 1',
        requests: expect.any(Number),
        failures: 0,
        requestsPerSecond: expect.any(Number),
        latencyMs: { p50: expect.any(Number), p99: expect.any(Number), max: expect.any(Number) },
        originRequests: 0,
        offload: 1,
        processorMicrosPerRequest: expect.any(Number),
      });
      expect(scenario!.rows[1]).toMatchObject({ name: 'bare 1', originRequests: null, offload: null });
      expect(scenario!.figures).toEqual([
        {
          name: 'processor time, weir / bare',
          value: expect.any(Number),
          spread: [expect.any(Number), expect.any(Number)],
          unit: '',
          aimAtMost: 1.25,
        },
      ]);
    },
  );

  it('says what it takes where it is asked for something else', async () => {
    const failure = await run(NODE, [PROGRAM, '--scenario', 'none']).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 2, stderr: expect.stringContaining('--scenario: no none') });
    expect(failure).toMatchObject({ stderr: expect.stringContaining('purge-storm') });
  });
});

describe('the bench', () => {
  it('draws the same paths in every run of one seed, the first ones most often', () => {
    const plan = { kind: 'zipf', prefix: '/', items: 100, exponent: 1, seed: 7 } as const;
    const [once, again] = [pathSource(plan), pathSource(plan)];
    const drawn = Array.from({ length: 2_000 }, once);
    expect(Array.from({ length: 2_000 }, again)).toEqual(drawn);
    const times = (path: string): number => drawn.filter((other) => other === path).length;
    expect(times('/0')).toBeGreaterThan(times('/9') * 5);
    expect(new Set(drawn).size).toBeGreaterThan(50);
  });
});
