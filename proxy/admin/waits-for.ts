import type { ExchangesUnderWay } from '../http/listener.ts';

/** The work that a stop waits for, and the writes that it leaves to the next start. */
export interface WaitsFor extends ExchangesUnderWay {
  /** Deliveries of writes with the policy `behind` that are under way to an origin. */
  readonly deliveries: number;
  /** Writes in the journal. A stop does not wait for them: the next start delivers them. */
  readonly waitingWrites: number;
}

/** Describes what a stop waits for; null if there is nothing. `leftSeconds` is null if it is not known. */
export function waitsForText(waitsFor: WaitsFor, leftSeconds: number | null = null): string | null {
  const { requests, eventStreams, tunnels, deliveries, waitingWrites } = waitsFor;
  const awaited = [
    counted(requests, 'request in progress', 'requests in progress'),
    counted(eventStreams, 'event stream', 'event streams'),
    counted(tunnels, 'tunnel', 'tunnels'),
    counted(deliveries, 'delivery of a write', 'deliveries of writes'),
  ].filter((part) => part !== null);
  const bound = leftSeconds === null ? '' : ` (at most ${leftSeconds} s)`;
  const kept = counted(waitingWrites - deliveries, 'waiting write stays', 'waiting writes stay');
  const sentences = [
    ...(awaited.length === 0 ? [] : [`waiting for ${awaited.join(', ')}${bound}`]),
    ...(kept === null ? [] : [`${kept} in the journal for the next start`]),
  ];
  return sentences.length === 0 ? null : sentences.join('; ');
}

function counted(count: number, one: string, several: string): string | null {
  if (count <= 0) return null;
  return `${count} ${count === 1 ? one : several}`;
}
