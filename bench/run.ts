/**
 * `npm run bench`: runs scenarios one after another, each in processes of its own, and reports; with `--peers`, compares
 * Weir with other servers.
 */
import { writeFileSync } from 'node:fs';
import { runPeers } from './peers/run.ts';
import { PEERS_USAGE } from './peers/options.ts';
import { readOptions, USAGE, type BenchOptions } from './options.ts';
import { machine, table, type Report } from './report.ts';
import { Stage, type Scenario } from './scenario.ts';
import { hitDisk } from './scenarios/hit-disk.ts';
import { hitMemory } from './scenarios/hit-memory.ts';
import { journal } from './scenarios/journal.ts';
import { miss } from './scenarios/miss.ts';
import { purgeStorm } from './scenarios/purge-storm.ts';
import { stampede } from './scenarios/stampede.ts';
import { tagPurge } from './scenarios/tag-purge.ts';
import { writes } from './scenarios/writes.ts';
import { zipf } from './scenarios/zipf.ts';

const SCENARIOS: readonly Scenario[] = [
  hitMemory,
  hitDisk,
  miss,
  stampede,
  zipf,
  purgeStorm,
  tagPurge,
  writes,
  journal,
];

const INTERRUPTS = ['SIGINT', 'SIGTERM'] as const;

const HELP = new Set(['--help', '-h']);

process.exitCode = await main(process.argv.slice(2));

async function main(parameters: readonly string[]): Promise<0 | 1 | 2> {
  if (parameters.some((parameter) => HELP.has(parameter))) {
    process.stdout.write(`${USAGE}\n${PEERS_USAGE}`);
    return 0;
  }
  if (parameters.includes('--peers')) return runPeers(parameters);
  const read = readOptions(parameters);
  if (read.kind === 'wrong') return usage(read.message);
  const { options } = read;
  const unknown = options.scenarios.filter((name) => !SCENARIOS.some((scenario) => scenario.name === name));
  if (unknown.length > 0) return usage(`--scenario: no ${unknown.join(', ')}`);
  if (process.platform !== 'linux') {
    process.stderr.write('bench: processor time is read from /proc, which Linux alone has\n');
    return 1;
  }
  const chosen = SCENARIOS.filter(
    ({ name }) => options.scenarios.length === 0 || options.scenarios.includes(name),
  );
  const print = options.json === '-' ? () => {} : (text: string) => process.stdout.write(`${text}\n`);
  let report: Report;
  try {
    report = await runAll(chosen, options, `npm run bench -- ${parameters.join(' ')}`, print);
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
  const json = `${JSON.stringify(report, null, 2)}\n`;
  if (options.json === '-') process.stdout.write(json);
  else if (options.json !== null) writeFileSync(options.json, json);
  return 0;
}

async function runAll(
  chosen: readonly Scenario[],
  options: BenchOptions,
  command: string,
  print: (text: string) => void,
): Promise<Report> {
  const host = machine();
  const startedAt = new Date().toISOString();
  print(
    `${host.processors} × ${host.processor}, ${host.memoryGiB} GiB, ${host.system}, Node.js ${host.node}`,
  );
  const scenarios = [];
  for (const scenario of chosen) {
    const { name, shows } = scenario;
    print(`\n${name}: ${shows}`);
    const stage = new Stage(options.profileFolder);
    // The scenario then fails, because its processes no longer answer.
    const interrupt = (): void => void stage.end();
    for (const signal of INTERRUPTS) process.once(signal, interrupt);
    try {
      const result = await scenario.run(stage, options);
      print(table(result));
      scenarios.push({ name, shows, ...result });
    } finally {
      for (const signal of INTERRUPTS) process.off(signal, interrupt);
      await stage.end();
    }
  }
  return { command, startedAt, machine: host, scenarios };
}

function usage(message: string): 2 {
  process.stderr.write(
    `bench: ${message}\n${USAGE}\nscenarios: ${SCENARIOS.map(({ name }) => name).join(', ')}\n`,
  );
  return 2;
}
