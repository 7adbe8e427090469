import type { ExchangesUnderWay } from '../http/listener.ts';

/** What a stop waits for, and what it leaves to the next start. */
export interface WaitsFor extends ExchangesUnderWay {
  /** Of writes behind, on their way to an origin. */
  readonly deliveries: number;
  /** In the journal. They are not waited for: the next start delivers them. */
  readonly waitingWrites: number;
}

/** In words; null: nothing. `leftSeconds` null: not known. */
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
