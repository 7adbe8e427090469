import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The folders where Debian installs servers, in addition to PATH. */
const FOLDERS = ['/usr/sbin', '/usr/local/sbin', '/usr/lib/postgresql/15/bin'];

export type RequiredProgram =
  | { readonly kind: 'found'; readonly path: string }
  /** `reason` names the program; a skipped suite prints it. */
  | { readonly kind: 'missing'; readonly reason: string };

/**
 * Looks for a server that tests start. Where it is not installed, its tests are skipped with the reason. In
 * continuous integration (`CI=true`) nothing may be skipped, so this throws there.
 */
export function requireProgram(name: string): RequiredProgram {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...FOLDERS];
  const path = folders.map((folder) => join(folder, name)).find(isExecutable);
  if (path !== undefined) return { kind: 'found', path };
  const reason = `${name} is not installed`;
  if (process.env['CI'] === 'true') throw new Error(reason);
  console.warn(`skipped: ${reason}`);
  return { kind: 'missing', reason };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    // The file does not exist or is not executable for this user.
    return false;
  }
}
