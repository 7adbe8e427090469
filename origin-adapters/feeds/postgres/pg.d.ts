/** The used part of `pg`, which has no types, and of its connection, whose replication functions no types cover. */
declare module 'pg' {
  import type { EventEmitter } from 'node:events';
  import type { Duplex } from 'node:stream';
  import type { ConnectionOptions } from 'node:tls';

  export interface ClientConfig {
    readonly host: string;
    readonly port: number;
    readonly user: string;
    readonly database: string;
    readonly password: () => string;
    readonly ssl: ConnectionOptions | false;
    readonly options: string;
    readonly application_name: string;
    readonly connectionTimeoutMillis: number;
    readonly keepAlive: boolean;
    readonly replication?: 'database';
  }

  export interface QueryResult {
    readonly rows: readonly Readonly<Record<string, unknown>>[];
  }

  /** Emits `replicationStart`, and `copyData` with a chunk that is valid only until the handler returns. */
  export interface Connection extends EventEmitter {
    /** Replaced when the connection is upgraded to TLS. */
    readonly stream: Duplex;
    sendCopyFromChunk(chunk: Uint8Array): void;
  }

  export class Client extends EventEmitter {
    constructor(config: ClientConfig);
    readonly connection: Connection;
    connect(): Promise<unknown>;
    query(text: string, values?: readonly unknown[]): Promise<QueryResult>;
    end(): Promise<void>;
  }
}
