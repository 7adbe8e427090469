/** Tests, by the kernel's view, that a purge is answered after a sync of the state. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { requireProgram } from '../support/programs.ts';
import { startWeir } from '../support/weir.ts';
import { purge } from './purging.ts';

const strace = requireProgram('strace');

it.skipIf(strace.kind === 'missing')('a purge is synced before it is answered', async () => {
  const weir = await startWeir('origins: { app: { url: "http://127.0.0.1:9" } }');
  const folder = mkdtempSync(join(tmpdir(), 'weir-strace-'));
  const log = join(folder, 'log');
  const path = strace.kind === 'found' ? strace.path : '';
  const args = ['-f', '-y', '-e', 'trace=fsync,fdatasync,msync', '-o', log, '-p', String(weir.pid)];
  const tracer = spawn(path, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  await once(tracer.stderr, 'data');
  const syncs = (): number =>
    readFileSync(log, 'latin1')
      .split('\n')
      .filter((line) => line.includes('state/data.mdb') && /(?:fdatasync|fsync|msync)\(/.test(line)).length;
  for (let i = 0; i < 5; i += 1) {
    const before = syncs();
    await purge(weir, { urls: [`/a/${i}`] });
    expect(syncs()).toBeGreaterThan(before);
  }
  tracer.kill('SIGINT');
  await once(tracer, 'exit');
  await weir.stop();
  rmSync(folder, { recursive: true, force: true });
});
