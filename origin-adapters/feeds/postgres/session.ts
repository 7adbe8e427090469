import type { Socket } from 'node:net';
import { checkServerIdentity, type ConnectionOptions } from 'node:tls';
import type { Client, ClientConfig } from 'pg';
import type { TlsMaterial } from '../tls.ts';
import type { Address } from './address.ts';
import { NoPassword } from './failure.ts';

/** The two connections of a feed: one that streams, and an ordinary one for requests meanwhile. Both end together. */
export class Session {
  readonly control: Client;
  readonly replication: Client;
  readonly #connected = new Set<Client>();
  #isClosed = false;

  constructor(library: { readonly Client: typeof Client }, address: Address, tls: TlsMaterial | null) {
    const config = configOf(address, tls);
    this.control = new library.Client(config);
    this.replication = new library.Client({ ...config, replication: 'database' });
    // Requests in progress and later ones reject with the same error.
    for (const client of this.#clients) client.on('error', () => undefined);
  }

  /** Connects both; has no timeout. Rejects with any error of `pg`; the session then has to be closed. */
  async connect(): Promise<void> {
    for (const client of this.#clients) {
      // A destroyed socket would still connect.
      if (this.#isClosed) throw new Error('closed');
      await client.connect();
      this.#connected.add(client);
      await client.query(textEncoding);
    }
  }

  /** Closes both at once and rejects whatever waits on them. May be called repeatedly. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const client of this.#clients) {
      const stream = client.connection.stream as Socket;
      if (this.#connected.has(client)) {
        // Terminate, so that the server releases the slot without an error in its log.
        stream.write(terminate);
        stream.destroySoon();
      } else {
        stream.destroy();
      }
    }
  }

  get #clients(): readonly Client[] {
    return [this.control, this.replication];
  }
}

/** UTF-8; or the raw bytes of an SQL_ASCII database, because the server would refuse invalid UTF-8 each time. */
const textEncoding = `SELECT set_config('client_encoding',
  CASE current_setting('server_encoding') WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END, false)`;

const terminate = Buffer.from([0x58, 0, 0, 0, 4]);

/** Sets every option, because `pg` takes missing ones from the environment. */
function configOf(address: Address, tls: TlsMaterial | null): ClientConfig {
  return {
    host: address.host,
    port: address.port,
    database: address.database,
    user: address.user,
    password: () => {
      if (address.password === null) throw new NoPassword();
      return address.password;
    },
    ssl: tls === null ? false : tlsOptions(tls),
    // The text formats that Postgres' own subscribers request. A commit waits for the local flush and for no standby.
    options: '-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=3 -c synchronous_commit=local',
    application_name: 'weir',
    // The caller bounds the time of both connections together.
    connectionTimeoutMillis: 0,
    keepAlive: true,
  };
}

/** `pg` itself sets the server name from the host. */
function tlsOptions({ servername, ...files }: TlsMaterial): ConnectionOptions {
  if (servername === undefined) return files;
  return {
    ...files,
    checkServerIdentity: (_host, certificate) => checkServerIdentity(servername, certificate),
  };
}
