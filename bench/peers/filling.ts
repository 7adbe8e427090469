import { after } from './requests.ts';
import { runWrk, type Requests } from './wrk.ts';

export const CONNECTIONS = 64;
/** How many times the capacity of the disk is written before a measurement with a full disk. */
export const OVERFILL = 3;
/** The longest time that filling may take. */
const MOST_SECONDS = 120;

export interface Filling {
  readonly url: string;
  readonly requests: Requests;
  /** The least number of responses. */
  readonly wanted: number;
}

export interface Filled {
  readonly answered: number;
  readonly perSecond: number;
  /** The requests that follow. */
  readonly requests: Requests;
}

/** Sends requests until `wanted` were answered. Rejects after 120 s. */
export async function fillStore({ url, requests, wanted }: Filling): Promise<Filled> {
  let next = requests;
  let answered = 0;
  let seconds = 0;
  while (answered < wanted) {
    if (seconds > MOST_SECONDS) throw new Error(`${url}: ${answered} of ${wanted} answers came in time`);
    const filled = await runWrk({ url, connections: CONNECTIONS, seconds: 1, requests: next, fields: {} });
    answered += filled.requests;
    seconds += filled.seconds;
    next = after(next, filled.requests + CONNECTIONS);
  }
  return { answered, perSecond: answered / Math.max(seconds, 1), requests: next };
}
