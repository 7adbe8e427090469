/** Decides whether the disk tier stores new entries. Only a full or failing file system stops that. */
import { statfsSync } from 'node:fs';
import type { CommitFailure } from './committer.ts';
import type { DiskEvent } from './events.ts';

export type WriteGuardState = 'on' | 'stopped' | 'stopped-until-restart';

/** Kept free in the file system besides what a transaction needs: the state and other programs write there, too. */
const SPARE_BYTES = 1024 * 1024;

export class WriteGuard {
  state: WriteGuardState = 'on';
  /** How often storing was stopped. */
  stops = 0;

  readonly #path: string;
  readonly #neededBytes: number;
  readonly #log: (event: DiskEvent) => void;

  /** `transactionBytes`: the most that one transaction writes. */
  constructor(path: string, transactionBytes: number, log: (event: DiskEvent) => void) {
    this.#path = path;
    this.#neededBytes = transactionBytes * 2 + SPARE_BYTES;
    this.#log = log;
  }

  /** Whether the file system has room for another transaction; stops or resumes storing accordingly. */
  check(): boolean {
    if (this.state === 'stopped-until-restart') return false;
    const hasRoom = this.#freeBytes() >= this.#neededBytes;
    if (hasRoom && this.state === 'stopped') {
      this.state = 'on';
      this.#log({ kind: 'storing-resumed' });
    }
    if (!hasRoom) this.#stop('stopped', 'no room in the file system');
    return hasRoom;
  }

  /**
   * To be called when a transaction has failed. LMDB reports a full file system as an input/output error and stays
   * sound; after any other failure its next transaction may never end.
   */
  failed(failure: CommitFailure): void {
    if (!failure.isPanic && this.#freeBytes() < this.#neededBytes) this.#stop('stopped', failure.reason);
    else this.giveUp(failure.reason);
  }

  giveUp(reason: string): void {
    this.#stop('stopped-until-restart', reason);
  }

  #stop(state: 'stopped' | 'stopped-until-restart', reason: string): void {
    if (this.state === state || this.state === 'stopped-until-restart') return;
    this.state = state;
    this.stops += 1;
    this.#log({ kind: 'storing-stopped', reason, untilRestart: state === 'stopped-until-restart' });
  }

  /** 0 where the system does not say, as when the folder is gone. */
  #freeBytes(): number {
    try {
      const { bavail, bsize } = statfsSync(this.#path);
      return bavail * bsize;
    } catch {
      return 0;
    }
  }
}
