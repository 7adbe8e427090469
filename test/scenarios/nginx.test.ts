/** Tests real input: a crawler reads /usr/share/doc of a Debian machine from nginx through Weir. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { requireProgram } from '../support/programs.ts';
import { ServerProcess } from '../support/server-process.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { ask, cacheStatusOf, type Answer } from './client.ts';

const nginx = requireProgram('nginx');
const DOCUMENTS = '/usr/share/doc';
const PAGES = 600;
const AT_ONCE = 8;

describe.skipIf(nginx.kind === 'missing')('in front of nginx', () => {
  let server: ServerProcess;
  let weir: RunningWeir;
  let accessLog: string;

  beforeAll(async () => {
    if (nginx.kind === 'missing') return;
    const folder = mkdtempSync(join(tmpdir(), 'weir-nginx-'));
    const port = await freePort();
    accessLog = accessLogOf(folder);
    writeFileSync(join(folder, 'nginx.conf'), configuration(folder, port, documents(folder)));
    server = new ServerProcess(nginx.path, ['-p', folder, '-c', join(folder, 'nginx.conf')], folder, port);
    await server.start();
    weir = await startWeir(`
      listen: { port: 0, workers: 2 }
      cache: { memory: 256MiB, disk: { path: ./data, size: 0 } }
      origins: { files: { url: "http://127.0.0.1:${port}" } }
    `);
  });

  afterAll(async () => {
    await weir?.stop();
    await server?.stop();
  });

  it('a second crawl requests nothing from it that is in memory, and reads the same', async () => {
    const first = await walk(weir.url);
    expect(first.size).toBe(PAGES);
    const files = [...first].filter(([path, { status }]) => status === 200 && !path.endsWith('/'));
    expect(files.length).toBeGreaterThan(PAGES / 2);
    for (const [path, answer] of files) {
      expect(cacheStatusOf(answer), path).toMatchObject({ fwd: 'uri-miss', stored: true });
    }
    // nginx writes a log line after it has sent the answer.
    await expect.poll(() => asked(accessLog).toSorted()).toEqual([...first.keys()].toSorted());
    truncateSync(accessLog);

    const second = await walk(weir.url);
    expect([...second.keys()].toSorted()).toEqual([...first.keys()].toSorted());
    const missed = [...second].filter(([, answer]) => cacheStatusOf(answer)['hit'] !== true);
    for (const [path, answer] of files) {
      expect(cacheStatusOf(second.get(path)!), path).toMatchObject({ hit: true });
      expect(second.get(path)!.body === answer.body, path).toBe(true);
    }
    await expect.poll(() => asked(accessLog).toSorted()).toEqual(missed.map(([path]) => path).toSorted());
    const { memory } = (await weir.stats()) as {
      memory: { bytes: number; limitBytes: number; entries: number };
    };
    expect(memory.bytes).toBeLessThanOrEqual(memory.limitBytes);
    expect(memory.entries).toBeGreaterThanOrEqual(files.length);
  });
});

/** The requests to nginx since the log was emptied. */
function asked(accessLog: string): string[] {
  return readFileSync(accessLog, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
}

/** Follows links from the root to any depth, until it has seen the maximum number of pages. */
async function walk(url: string): Promise<Map<string, Answer>> {
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
  const seen = new Map<string, Answer>();
  const wanted = ['/'];
  const known = new Set(wanted);
  while (wanted.length > 0 && seen.size < PAGES) {
    const paths = wanted.splice(-Math.min(AT_ONCE, PAGES - seen.size));
    const answers = await Promise.all(paths.map((path) => ask(`${url}${path}`, { agent })));
    answers.forEach((answer, i) => {
      seen.set(paths[i]!, answer);
      for (const link of paths[i]!.endsWith('/') ? linksOf(paths[i]!, answer.body) : []) {
        if (!known.has(link)) wanted.push(link);
        known.add(link);
      }
    });
  }
  agent.destroy();
  return seen;
}

function linksOf(path: string, html: string): string[] {
  return [...html.matchAll(/<a href="([^"#?:]+)"/g)]
    .map(([, href]) => href!)
    .filter((href) => !href.startsWith('.') && !href.startsWith('/'))
    .map((href) => `${path}${href}`);
}

function configuration(folder: string, port: number, root: string): string {
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  return `
    daemon off; master_process off; pid ${folder}/nginx.pid; error_log ${folder}/error.log;
    events {}
    http {
      ${places.join(' ')}
      log_format path '$request_uri';
      access_log ${accessLogOf(folder)} path;
      types { text/html html; text/plain txt; }
      server { listen 127.0.0.1:${port}; root ${root}; autoindex on; }
    }`;
}

function accessLogOf(folder: string): string {
  return join(folder, 'access.log');
}

/** Makes some documents on a machine that has none. */
function documents(folder: string): string {
  if (existsSync(DOCUMENTS) && readdirSync(DOCUMENTS).length > 200) return DOCUMENTS;
  const root = join(folder, 'doc');
  const lastYear = new Date(Date.now() - 365 * 86_400_000);
  for (let i = 0; i < 250; i += 1) {
    mkdirSync(join(root, `package-${i}`), { recursive: true });
    for (const name of ['copyright', 'changelog.txt', 'README', 'NEWS']) {
      const file = join(root, `package-${i}`, name);
      writeFileSync(file, `${name} of package ${i}\n`.repeat(1 + ((i * 37) % 2_000)));
      utimesSync(file, lastYear, lastYear);
    }
  }
  return root;
}
