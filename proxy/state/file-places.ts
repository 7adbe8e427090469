import { lstatSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { FilePlaces } from '../../policies/restored-copy.ts';
import type { StateStore } from './state-store.ts';

const KEY = 'file-places';
const NO_FILE = '';

/**
 * The places of a disk path's files, as recorded in the state and as found at the start. They differ after a copy.
 */
export class StoredPlaces {
  readonly written: FilePlaces | null;
  readonly #path: string;
  readonly #state: StateStore;

  constructor(path: string, state: StateStore) {
    this.#path = path;
    this.#state = state;
    const row = state.table('meta').get(KEY);
    this.written = row === undefined ? null : (JSON.parse(row.toString()) as FilePlaces);
  }

  found(): FilePlaces {
    return {
      state: placeOf(join(this.#path, 'state', 'data.mdb')) ?? NO_FILE,
      marker: placeOf(this.#marker, true),
      link: linkOf(this.#link),
      cache: placeOf(join(this.#path, 'cache', 'data.mdb')),
    };
  }

  /**
   * Records the places of the files in the state. To be called when all consequences of a copy are durable: a start that
   * ends before that detects the copy again. Rejects if a file or the state can't be written.
   */
  async note(): Promise<void> {
    const { written } = this;
    let found = this.found();
    const isSame = written?.state === found.state && written.marker === found.marker && found.marker !== null;
    if (!isSame) {
      await writeMarker(this.#marker);
      found = this.found();
    }
    if (found.link === null || !isSame) {
      writeLink(this.#link);
      found = this.found();
    }
    // In a run without a cache, keep the recorded place of the last one.
    const next = { ...found, cache: found.cache ?? written?.cache ?? null };
    const row = Buffer.from(JSON.stringify(next));
    const meta = this.#state.table('meta');
    if (meta.get(KEY)?.equals(row) !== true) await this.#state.write(() => meta.put(KEY, row));
  }

  get #marker(): string {
    return join(this.#path, 'state', 'place');
  }

  get #link(): string {
    return join(this.#path, 'state', 'place-link');
  }
}

/** Writes the marker file once. A later copy over it changes its time of change (ctime). */
async function writeMarker(file: string): Promise<void> {
  rmSync(file, { force: true });
  const handle = await open(file, 'wx', 0o600);
  try {
    // `fsyncSync` is forbidden by the permission model of Node.js.
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Creates the link, whose own inode and time of birth are compared. Its target is never read. */
function writeLink(file: string): void {
  rmSync(file, { force: true });
  try {
    symlinkSync('place', file);
  } catch {
    // The file system has no symbolic links. A changed marker then counts as a copy.
  }
}

function linkOf(file: string): string | null {
  const found = lstatSync(file, { throwIfNoEntry: false, bigint: true });
  return found?.isSymbolicLink() === true ? `${found.dev}:${found.ino}:${found.birthtimeNs}` : null;
}

function placeOf(file: string, withChange = false): string | null {
  const found = statSync(file, { throwIfNoEntry: false, bigint: true });
  if (found === undefined) return null;
  const place = `${found.dev}:${found.ino}`;
  return withChange ? `${place}:${found.ctimeNs}` : place;
}
