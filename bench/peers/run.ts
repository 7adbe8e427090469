/** `npm run bench -- --peers`: compares Weir with nginx, Varnish, HAProxy and a bare `node:http` server. */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { machine } from '../report.ts';
import { Stage } from '../scenario.ts';
import { bareNode } from './bare-node.ts';
import { checkClaims, WORKERS, type CheckedClaim } from './claims.ts';
import { compare } from './compare.ts';
import { writePart } from './document.ts';
import type { Extra, Figures, RowFigures, ServerFigures } from './figures.ts';
import { haproxy } from './haproxy.ts';
import { measureLoops } from './loops.ts';
import { figuresAsMarkdown, type Column } from './markdown.ts';
import { measureMillion } from './million.ts';
import { nginx } from './nginx.ts';
import { PEERS_USAGE, readPeersOptions, type PeersOptions } from './options.ts';
import { profileRow } from './profile.ts';
import { findProgram } from './programs.ts';
import { COMPARED, type RowName } from './rows.ts';
import type { Server } from './server.ts';
import { varnish } from './varnish.ts';
import { weirServer } from './weir.ts';

const SERVERS: readonly Server[] = [
  weirServer({ workers: 1, title: 'Weir', profileFolder: null }),
  nginx,
  varnish,
  haproxy,
  bareNode,
];
const PAGE = fileURLToPath(new URL('../../docs/benchmarks.md', import.meta.url));
const NEEDED = ['wrk', 'taskset'];
const INTERRUPTS = ['SIGINT', 'SIGTERM'] as const;

type OnStage = <Result>(run: (stage: Stage) => Promise<Result>) => Promise<Result>;

export async function runPeers(parameters: readonly string[]): Promise<0 | 1 | 2> {
  const read = readPeersOptions(parameters);
  if (read.kind === 'wrong') {
    process.stderr.write(`bench: ${read.message}\n${PEERS_USAGE}`);
    return 2;
  }
  const problem = problemOfMachine();
  if (problem !== null) {
    process.stderr.write(`bench: ${problem}\n`);
    return 1;
  }
  const { options } = read;
  try {
    if (options.profile.length > 0) return await profileAll(options);
    return await measureAll(options, `npm run bench -- ${parameters.join(' ')}`);
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

function problemOfMachine(): string | null {
  if (process.platform !== 'linux') return 'processor time is read from /proc, which Linux alone has';
  if (availableParallelism() < 2) return 'the server and the load need a processor each';
  const missing = NEEDED.filter((name) => findProgram(name) === null);
  return missing.length === 0 ? null : `not installed: ${missing.join(', ')}`;
}

async function profileAll({ profile, seconds }: PeersOptions): Promise<0> {
  for (const row of profile) {
    const tables = await onStage((stage) => profileRow(COMPARED[row], seconds, stage));
    process.stdout.write(`${tables}\n\n`);
  }
  return 0;
}

async function measureAll(options: PeersOptions, command: string): Promise<0 | 1> {
  const columns: (Column & { readonly server: Server })[] = [];
  for (const server of SERVERS.filter(({ name }) => options.servers.includes(name)))
    columns.push({ server, title: server.title, version: await server.version() });
  const installed = columns.filter(({ version }) => version !== null).map(({ server }) => server);
  const startedAt = new Date();
  const { figures, isWhole } = await measureRows(options, installed);
  const claims = checkClaims(figures).filter(({ row }) => options.rows.includes(row));
  const tables = figuresAsMarkdown(figures, columns, claims, options.threads);
  const text = `${conditions(options, command, startedAt)}\n\n${tables}`;
  process.stdout.write(text);
  if (!isWhole) return 1;
  if (options.write) await writePart(PAGE, text);
  return options.check ? verdict(claims, figures.doubts) : 0;
}

/** A row that fails becomes a doubt, and the others are still measured. `isWhole`: no row failed or was left out. */
async function measureRows(
  options: PeersOptions,
  servers: readonly Server[],
): Promise<{ readonly figures: Figures; readonly isWhole: boolean }> {
  const rows: RowFigures[] = [];
  const extras: Extra[] = [];
  const notes: string[] = [];
  const doubts: string[] = [];
  let isWhole = true;
  for (const name of options.rows) {
    process.stderr.write(`bench: ${name}\n`);
    const part = await onStage((stage) => measureRow(name, options, servers, stage)).catch(
      (error: unknown): Partial<Figures> => {
        isWhole = false;
        const message = error instanceof Error ? error.message : String(error);
        return { doubts: [`${name} was not measured: ${message}`] };
      },
    );
    for (const { label, servers } of part.rows ?? [])
      process.stderr.write(`bench: ${label}, µs a request: ${servers.map(briefly).join(', ')}\n`);
    rows.push(...(part.rows ?? []));
    extras.push(...(part.extras ?? []));
    notes.push(...(part.notes ?? []));
    doubts.push(...(part.doubts ?? []));
    if (isInterrupted) break;
  }
  return { figures: { rows, extras, notes, doubts }, isWhole: isWhole && !isInterrupted };
}

function briefly({ title, microsPerRequest }: ServerFigures): string {
  return `${title} ${microsPerRequest.value.toFixed(1)}`;
}

async function measureRow(
  name: RowName,
  options: PeersOptions,
  servers: readonly Server[],
  stage: Stage,
): Promise<Partial<Figures>> {
  switch (name) {
    case 'two-workers': {
      const both = [1, 2].map((workers) =>
        weirServer({ workers, title: workers === 1 ? WORKERS.one : WORKERS.two, profileFolder: null }),
      );
      const { figures, doubts } = await compare(COMPARED.miss, both, { ...options, paced: false }, stage);
      return { rows: [{ ...figures, row: 'two-workers', label: 'miss' }], doubts };
    }
    case 'loops': {
      const { extras, note, doubts } = await measureLoops(options.rounds * options.seconds, stage);
      return { extras, notes: [note], doubts };
    }
    case 'million': {
      const { extras, note } = await measureMillion(options.entries, stage);
      return { extras, notes: [note] };
    }
    default: {
      const row = COMPARED[name];
      const measured = servers.filter((server) => row.servers.includes(server.name));
      if (measured.length === 0) return {};
      const { figures, doubts } = await compare(row, measured, options, stage);
      return { rows: [figures], doubts };
    }
  }
}

/** A signal ends the row that is being measured, and no further row is begun. The rows before it are still reported. */
let isInterrupted = false;

/** Ends all processes afterwards and at a signal. After a signal the measurement fails, because its servers are gone. */
const onStage: OnStage = async (run) => {
  const stage = new Stage(null);
  const interrupt = (): void => {
    isInterrupted = true;
    void stage.end();
  };
  for (const signal of INTERRUPTS) process.on(signal, interrupt);
  try {
    return await run(stage);
  } finally {
    for (const signal of INTERRUPTS) process.off(signal, interrupt);
    await stage.end();
  }
};

function conditions({ rounds, seconds }: PeersOptions, command: string, startedAt: Date): string {
  const { processor, processors, memoryGiB, system, node } = machine();
  return `${startedAt.toISOString().slice(0, 10)}, ${processors} × ${processor}, ${memoryGiB} GiB, ${system}, Node.js ${node}:

    ${command}

${rounds} rounds of ${seconds} s for each figure.`;
}

function verdict(claims: readonly CheckedClaim[], doubts: readonly string[]): 0 | 1 {
  const short = claims.filter((claim) => claim.verdict === 'short');
  for (const { label, found, least, unit } of short)
    process.stderr.write(
      `bench: short: ${label}: ${found!.toFixed(2)} ${unit}, at the least ≤ ${least} ${unit}\n`,
    );
  for (const doubt of doubts) process.stderr.write(`bench: doubtful: ${doubt}\n`);
  const isMeasured = claims.some((claim) => claim.verdict !== 'open');
  if (!isMeasured) process.stderr.write('bench: nothing was measured that has a bound\n');
  return short.length === 0 && doubts.length === 0 && isMeasured ? 0 : 1;
}
