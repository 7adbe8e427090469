import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { endWithTests } from '../support/end-with-tests.ts';

const ROOT = join(import.meta.dirname, '../..');

describe('npm start', () => {
  it.each([
    ['SIGTERM', 'SIGTERM'],
    ['SIGINT', 'SIGINT'],
    ['SIGHUP', 'npm-ended'],
  ] as const)('ends Weir gracefully where npm gets %s', async (signal, cause) => {
    const folder = mkdtempSync(join(tmpdir(), 'weir-npm-'));
    const file = join(folder, 'weir.yaml');
    writeFileSync(
      file,
      'listen: { port: 0, workers: 1 }\nadmin: { port: 0 }\ncache: { disk: { path: ./disk } }\n' +
        'origins: { shop: { url: "http://127.0.0.1:1" } }\n',
    );
    const npm = spawn('npm', ['start', '--', '--config', file], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    endWithTests(npm);
    const lines = createInterface({ input: npm.stdout });
    const ended = once(lines, 'close');
    const events: Record<string, unknown>[] = [];
    lines.on('line', (line) => {
      if (!line.startsWith('{')) return;
      const event = JSON.parse(line) as Record<string, unknown>;
      events.push(event);
      if (event['event'] === 'listening') npm.kill(signal);
    });
    // The pipe closes when the last process that writes to it has ended, including Weir.
    await ended;
    expect(events.slice(-2)).toMatchObject([{ event: 'stopping', signal: cause }, { event: 'stopped' }]);
    rmSync(folder, { recursive: true });
  });
});
