/** What all exchanges of one listener share. */
import type { ListenLimits } from '../../policies/config/config.ts';

export interface ListenerContext {
  readonly scheme: 'http' | 'https';
  readonly limits: ListenLimits;
  readonly log: ListenerLog;
  /** Set by `stop`: later responses close their connection. */
  stopping: boolean;
  onTooSlow(part: SlowPart): void;
  /** Set by `stop` when the time of event streams and tunnels is over: those that begin later end at once. */
  endsStreams: boolean;
}

/** The part of an exchange that was too slow: `answer`, the client read the response too slowly; `total`, `limits.total` passed. */
export type SlowPart = 'head' | 'content' | 'total' | 'answer';

/** The part of a `pino` logger that is used. */
export interface ListenerLog {
  warn(detail: object, message: string): void;
  error(detail: object, message: string): void;
}
