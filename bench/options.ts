import { parseArgs } from 'node:util';
import type { ScenarioOptions } from './scenario.ts';

export interface BenchOptions extends ScenarioOptions {
  /** The names of the scenarios to run; empty: all. */
  readonly scenarios: readonly string[];
  /** The file that gets the report as JSON. `-`: standard output gets it instead of the tables. Null: no JSON. */
  readonly json: string | null;
}

export type ReadOptions =
  | { readonly kind: 'ok'; readonly options: BenchOptions }
  | { readonly kind: 'wrong'; readonly message: string };

export const USAGE = `npm run bench [-- OPTIONS]
  --scenario NAME   one scenario; may be given several times (default: all)
  --seconds N       how long each measures (default 10)
  --entries N       how many entries are stored, or writes wait, for scenarios about that
  --long            at full size: tag-purge with 1,000,000 entries, journal with 1,000,000 writes
  --seed N          of what is drawn at random (default 1)
  --json FILE       the report as JSON too; - for standard output, in place of the tables
  --profile FOLDER  CPU profiles of the Weir process, one a thread`;

export function readOptions(parameters: readonly string[]): ReadOptions {
  try {
    const { values } = parseArgs({
      args: [...parameters],
      options: {
        scenario: { type: 'string', multiple: true, default: [] },
        seconds: { type: 'string', default: '10' },
        entries: { type: 'string' },
        long: { type: 'boolean', default: false },
        seed: { type: 'string', default: '1' },
        json: { type: 'string' },
        profile: { type: 'string' },
      },
    });
    const options: BenchOptions = {
      scenarios: values.scenario,
      seconds: positive('--seconds', values.seconds),
      entries: values.entries === undefined ? null : Math.ceil(positive('--entries', values.entries)),
      long: values.long,
      seed: Math.floor(positive('--seed', values.seed)),
      json: values.json ?? null,
      profileFolder: values.profile ?? null,
    };
    return { kind: 'ok', options };
  } catch (error) {
    return { kind: 'wrong', message: error instanceof Error ? error.message : String(error) };
  }
}

function positive(name: string, text: string): number {
  const number = Number(text);
  if (!(number > 0) || !Number.isFinite(number))
    throw new Error(`${name}: expected a positive number, got ${text}`);
  return number;
}
