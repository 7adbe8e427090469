import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Where Debian keeps servers, beside what PATH names. */
const FOLDERS = ['/usr/sbin', '/usr/local/sbin', '/usr/lib/postgresql/15/bin'];

export type RequiredProgram =
  | { readonly kind: 'found'; readonly path: string }
  /** `reason` names the program and is what a skipped suite prints. */
  | { readonly kind: 'missing'; readonly reason: string };

/**
 * Looks for a server that tests start. Where it is not installed, its tests are skipped with the reason; in continuous
 * integration (`CI=true`) nothing may be skipped, so there it throws.
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
    // Not there, or not for us.
    return false;
  }
}
