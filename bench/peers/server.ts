import type { BareAnswer } from '../processes/bare-server.ts';
import type { Stage } from '../scenario.ts';
import type { ComparedRow, ServerName } from './rows.ts';

/** A kind of server that is measured. Each kind has a file. */
export interface Server {
  readonly name: ServerName;
  /** The name in tables. */
  readonly title: string;
  /** Resolves with null if the server is not installed. */
  version(): Promise<string | null>;
  /** Starts the server on the server's processor. The stage ends it. */
  start(stage: Stage, row: ComparedRow, origin: OriginUnderTest): Promise<RunningServer>;
}

export interface RunningServer {
  readonly url: string;
  /** The id of the server's first process. */
  readonly pid: number;
  /**
   * Resolves when all entries have been written, with the number of entries on disk. Resolves with null at once if the
   * server does not report that number.
   */
  settled(): Promise<number | null>;
}

export interface OriginUnderTest {
  readonly port: number;
  /** Resolves with the number of requests since the start. */
  requests(): Promise<number>;
  /** The response to the row's first request, without fields that depend on the connection or the time. */
  readonly answer: BareAnswer;
}
