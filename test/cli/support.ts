/** Runs the `weir` program in a process and a directory of its own. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

export const PROGRAM = fileURLToPath(new URL('../../proxy/cli/weir.ts', import.meta.url));

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface Place {
  readonly directory: string;
  write(file: string, content: string): Promise<void>;
  weir(
    args: readonly string[],
    nodeArgs?: readonly string[],
    env?: Readonly<Record<string, string>>,
  ): Promise<Ran>;
  remove(): Promise<void>;
}

export async function newPlace(): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), 'weir-cli-'));
  return {
    directory,
    write: (file, content) => writeFile(join(directory, file), content),
    weir: (args, nodeArgs = [], env = {}) => run([...nodeArgs, PROGRAM, ...args], directory, env),
    remove: () => rm(directory, { recursive: true }),
  };
}

async function run(
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>>,
): Promise<Ran> {
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code));
  });
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
  return { code, out, err };
}
