import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

/** Debian's folders of servers, which PATH may lack. */
const SERVER_FOLDERS = ['/usr/sbin', '/usr/local/sbin'];

/** Returns the path of an installed program, or null. */
export function findProgram(name: string): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...SERVER_FOLDERS];
  return folders.map((folder) => join(folder, name)).find(isExecutable) ?? null;
}

/** Returns the first group of `pattern` in the output of a program, standard output or error, whatever its exit code. */
export async function versionOf(path: string, option: string, pattern: RegExp): Promise<string> {
  const said = await promisify(execFile)(path, [option]).catch((error: unknown) => error);
  const { stdout, stderr } = said as { stdout?: string; stderr?: string };
  return pattern.exec(`${stdout ?? ''}${stderr ?? ''}`)?.[1] ?? 'of unknown version';
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    // The file is missing or is not executable.
    return false;
  }
}
