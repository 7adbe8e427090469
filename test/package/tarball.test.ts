import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'weir-package-'));

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A program that embeds the library. */
const EMBEDDED = `
import { start } from '@weir-cache/weir';
const yaml = (url) => 'listen: { port: 0, workers: 1 }\\nadmin: { port: 0 }\\nlog: { level: silent }\\n' +
  'cache: { memory: 16MiB, disk: { path: ./embedded, size: 64MiB } }\\nfence: { records: 1000 }\\n' +
  'origins: { shop: { url: "' + url + '" } }\\n';
const failed = await start({ yaml: yaml('ftp://nowhere') });
const started = await start({ yaml: yaml('demo:') });
if (started.kind === 'failed') throw new Error(started.errors.join());
const { weir } = started;
const { status } = await fetch('http://127.0.0.1:' + weir.port + '/products/1');
const refused = await weir.reload(yaml('ftp://nowhere'));
const cut = await weir.stop();
console.log([failed.kind, failed.errors.length + ',', status + ',', refused.kind, refused.errors.length + ', stopped', cut].join(' '));
process.exit(0);
`;

describe('the packed tarball', () => {
  it('installs elsewhere, serves, and has declarations and the schema', { timeout: 240_000 }, async () => {
    const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], {
      cwd: ROOT,
      maxBuffer: 16 * 2 ** 20,
    });
    const [packed] = JSON.parse(stdout.slice(stdout.indexOf('['))) as [{ filename: string }];
    writeFileSync(join(folder, 'package.json'), '{ "name": "elsewhere", "private": true, "type": "module" }');
    // npm requests from the registry only what `npm ci` has not fetched, and retries failed requests.
    const sparing = ['--no-audit', '--no-fund', '--prefer-offline', '--fetch-retries=5'];
    await run('npm', ['install', ...sparing, join(folder, packed.filename)], { cwd: folder });
    const { peerDependencies } = JSON.parse(
      readFileSync(join(folder, 'node_modules/@weir-cache/weir/package.json'), 'utf8'),
    ) as { readonly peerDependencies: Readonly<Record<string, string>> };
    // Exact versions of peers would prevent an application with another version from installing Weir.
    expect(Object.values(peerDependencies).filter((range) => !range.startsWith('^'))).toEqual([]);
    writeFileSync(
      join(folder, 'weir.yaml'),
      [
        'listen: { port: 0, workers: 1 }',
        'admin: { port: 0 }',
        'cache: { memory: 16MiB, disk: { path: ./data, size: 64MiB } }',
        'fence: { records: 1000 }',
        'origins: { shop: { url: "demo:" } }',
      ].join('\n'),
    );
    const weir = spawn(process.execPath, ['node_modules/.bin/weir', 'serve', '--config', 'weir.yaml'], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const port = await listeningPort(weir.stdout);
      const first = await fetch(`http://127.0.0.1:${port}/products/1`);
      await first.text();
      const second = await fetch(`http://127.0.0.1:${port}/products/1`);
      expect(second.status).toBe(200);
      expect(second.headers.get('cache-status')).toMatch(/^weir; hit/);
    } finally {
      weir.kill('SIGTERM');
      await new Promise((resolve) => weir.once('close', resolve));
    }
    writeFileSync(join(folder, 'embedded.mjs'), EMBEDDED);
    const embedded = spawn(process.execPath, ['embedded.mjs'], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    expect(await text(embedded.stdout)).toBe('failed 1, 200, refused 1, stopped 0\n');
    const installed = join(folder, 'node_modules/@weir-cache/weir');
    expect(readFileSync(join(installed, 'dist/proxy/index.d.ts'), 'utf8')).toMatch(
      /coordinator[^]*EmbeddedWeir/,
    );
    expect(readFileSync(join(installed, 'proxy.config.schema.json'), 'utf8')).toContain('"routes"');
    expect(readFileSync(join(installed, 'LICENSE'), 'utf8')).toMatch(/^MIT License/);
    expect(readFileSync(join(installed, 'docs/configuration.md'), 'utf8')).toMatch(/^# Configuration/);
  });
});

async function listeningPort(output: NodeJS.ReadableStream): Promise<number> {
  for await (const line of createInterface({ input: output })) {
    if (!line.startsWith('{')) continue;
    const event = JSON.parse(line) as { event?: string; port?: number };
    if (event.event === 'listening') return event.port!;
  }
  throw new Error('weir ended before it listened');
}
