/** Measures a row. Its servers run at the same time and are loaded in turn, so that other load disturbs them alike. */
import type { Stage } from '../scenario.ts';
import { Contender } from './contender.ts';
import type { RowFigures } from './figures.ts';
import { startOrigin } from './origin.ts';
import { unpin } from './place.ts';
import type { ComparedRow } from './rows.ts';
import type { Server } from './server.ts';

export interface ComparePlan {
  readonly rounds: number;
  /** The length of a round. */
  readonly seconds: number;
  /** Whether latency is also measured at a fixed rate. */
  readonly paced: boolean;
}

export interface Comparison {
  readonly figures: RowFigures;
  readonly doubts: readonly string[];
}

/** The fixed rate as a share of the slowest server's rate at saturation. */
const PACED_SHARE = 0.5;
/** The load process must not be the bottleneck. */
const MOST_PACED_PER_SECOND = 10_000;

export async function compare(
  row: ComparedRow,
  servers: readonly Server[],
  plan: ComparePlan,
  stage: Stage,
): Promise<Comparison> {
  const origin = await startOrigin(stage, row);
  const contenders: Contender[] = [];
  for (const server of servers) contenders.push(await Contender.start(server, row, origin, stage));
  for (const contender of contenders) await contender.warmUp();
  for (let round = 0; round < plan.rounds; round += 1)
    for (const contender of inTurn(contenders, round)) await contender.saturate(plan.seconds);
  const pacedPerSecond = plan.paced ? pacedRate(contenders) : null;
  if (pacedPerSecond !== null) await paceAll(contenders, pacedPerSecond, plan, stage);
  return {
    figures: {
      row: row.name,
      label: row.label,
      servers: contenders.map((contender) => contender.figures()),
      pacedPerSecond,
    },
    doubts: contenders.flatMap((contender) => contender.doubts().map((doubt) => `${row.label}, ${doubt}`)),
  };
}

/** Rotates the order, so that each round begins with another item. */
function inTurn<Item>(items: readonly Item[], round: number): readonly Item[] {
  const first = round % items.length;
  return [...items.slice(first), ...items.slice(0, first)];
}

function pacedRate(contenders: readonly Contender[]): number {
  const slowest = Math.min(...contenders.map((contender) => contender.figures().requestsPerSecond.value));
  return Math.max(1, Math.floor(Math.min(MOST_PACED_PER_SECOND, slowest * PACED_SHARE)));
}

async function paceAll(
  contenders: readonly Contender[],
  perSecond: number,
  { rounds, seconds }: ComparePlan,
  stage: Stage,
): Promise<void> {
  const load = await stage.pacedLoad();
  for (const contender of contenders) await unpin(contender.pid);
  for (let round = 0; round < rounds; round += 1)
    for (const contender of inTurn(contenders, round)) await contender.pace(load, perSecond, seconds);
}
