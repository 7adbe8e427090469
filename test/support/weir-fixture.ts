import { beforeAll } from 'vitest';
import { startScriptedOrigin, type ScriptedOrigin } from './scripted-origin.ts';
import { startWeir, type RunningWeir } from './weir.ts';

/** Numbers of workers, sizes of memory and disk: each tier serves alone and with the other, with one worker and with two. */
export const WORKERS_AND_TIERS = [
  [1, '16MiB', '64MiB'],
  [2, '16MiB', '0'],
  [2, '16MiB', '64MiB'],
  [2, '0', '64MiB'],
] as const;

export interface WeirFixture {
  readonly origin: ScriptedOrigin;
  readonly weir: RunningWeir;
}

/**
 * Starts a scripted origin, and Weir in front of it, before the tests of the enclosing block, and stops both after them.
 * `yaml` makes Weir's configuration from the origin's URL. `started` is called before the first test.
 */
export function useWeir(yaml: (originUrl: string) => string, started: (fixture: WeirFixture) => void): void {
  beforeAll(async () => {
    const origin = await startScriptedOrigin();
    let weir: RunningWeir;
    try {
      weir = await startWeir(yaml(origin.url));
    } catch (error) {
      await origin.close();
      throw error;
    }
    started({ origin, weir });
    return async () => {
      await weir.stop();
      await origin.close();
    };
  });
}
