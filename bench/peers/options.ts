import { parseArgs } from 'node:util';
import { COMPARED_ROWS, ROWS, SERVERS, type ComparedRowName, type RowName, type ServerName } from './rows.ts';

export interface PeersOptions {
  readonly rounds: number;
  /** The length of a round. */
  readonly seconds: number;
  readonly rows: readonly RowName[];
  readonly servers: readonly ServerName[];
  /** Whether latency is also measured at a fixed rate. */
  readonly paced: boolean;
  readonly threads: boolean;
  readonly check: boolean;
  readonly write: boolean;
  /** Rows to profile; if there are any, no table is made. */
  readonly profile: readonly ComparedRowName[];
  /** The number of entries in the row `million`. */
  readonly entries: number;
}

export type ReadPeersOptions =
  | { readonly kind: 'ok'; readonly options: PeersOptions }
  | { readonly kind: 'wrong'; readonly message: string };

export const PEERS_USAGE = `npm run bench -- --peers [OPTIONS]
  --rounds N        how often each server is loaded in each row (default 5)
  --seconds N       how long a round is, in whole seconds (default 4)
  --rows A,B        of ${ROWS.join(', ')} (default: all but million)
  --servers A,B     of ${SERVERS.join(', ')} (default: all)
  --no-paced        without latencies at a fixed rate
  --threads         processor time of Weir by thread
  --check           exit with 1 if a figure falls short
  --write           put the tables into docs/benchmarks.md
  --profile ROW     in place of the tables: Weir alone, its ten dearest functions; may be given several times
  --entries N       on disk in the row million (default 1,000,000)
`;

/** Rows that run only if they are named. */
const ONLY_NAMED: ReadonlySet<RowName> = new Set(['million']);

/** Reads the parameters of `npm run bench` with `--peers`. */
export function readPeersOptions(parameters: readonly string[]): ReadPeersOptions {
  try {
    const { values } = parseArgs({
      args: [...parameters],
      allowNegative: true,
      options: {
        peers: { type: 'boolean' },
        rounds: { type: 'string', default: '5' },
        seconds: { type: 'string', default: '4' },
        rows: { type: 'string' },
        servers: { type: 'string' },
        paced: { type: 'boolean', default: true },
        threads: { type: 'boolean', default: false },
        check: { type: 'boolean', default: false },
        write: { type: 'boolean', default: false },
        profile: { type: 'string', multiple: true, default: [] },
        entries: { type: 'string', default: '1000000' },
      },
    });
    const options: PeersOptions = {
      rounds: whole('--rounds', values.rounds),
      seconds: whole('--seconds', values.seconds),
      rows:
        values.rows === undefined
          ? ROWS.filter((row) => !ONLY_NAMED.has(row))
          : named('--rows', values.rows.split(','), ROWS),
      servers:
        values.servers === undefined ? SERVERS : named('--servers', values.servers.split(','), SERVERS),
      paced: values.paced,
      threads: values.threads,
      check: values.check,
      write: values.write,
      profile: named('--profile', values.profile, COMPARED_ROWS),
      entries: whole('--entries', values.entries),
    };
    if (options.servers.includes('weir')) return { kind: 'ok', options };
    return { kind: 'ok', options: { ...options, rows: options.rows.filter(isCompared) } };
  } catch (error) {
    return { kind: 'wrong', message: error instanceof Error ? error.message : String(error) };
  }
}

function isCompared(row: RowName): boolean {
  return COMPARED_ROWS.some((name) => name === row);
}

function whole(name: string, text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1)
    throw new Error(`${name}: expected a whole number from 1, got ${text}`);
  return number;
}

/** Returns the names in the order of `known`. Throws if one is unknown. */
function named<Name extends string>(
  option: string,
  names: readonly string[],
  known: readonly Name[],
): Name[] {
  const unknown = names.filter((name) => !known.some((other) => other === name));
  if (unknown.length > 0)
    throw new Error(`${option}: no ${unknown.join(', ')}; there are ${known.join(', ')}`);
  return known.filter((name) => names.includes(name));
}
