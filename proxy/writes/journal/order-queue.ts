import { hash } from 'node:crypto';

/** The writes to one URL of one origin, in their order: as it is named between threads and on disk. */
export interface OrderQueueKey {
  readonly origin: string;
  /** Null where the origin does not see the client's host. */
  readonly authority: string | null;
  /** Path and query, normalised. */
  readonly target: string;
}

/** In hexadecimal; two lines never meet but by a collision of SHA-256, which would order what needs no order. */
export type OrderQueueId = string;

export const LINE_BYTES = 16;

export function lineKeyOf(line: OrderQueueKey): OrderQueueId {
  const { origin, authority, target } = line;
  return hash('sha256', `${origin}\n${authority ?? ''}\n${target}`, 'hex').slice(0, LINE_BYTES * 2);
}
