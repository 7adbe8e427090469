import type { Socket } from 'node:net';
import { checkServerIdentity, type ConnectionOptions } from 'node:tls';
import type { Client, ClientConfig } from 'pg';
import type { TlsMaterial } from '../tls.ts';
import type { Address } from './address.ts';
import { NoPassword } from './failure.ts';

/**
 * The two connections of a feed: one that streams, and an ordinary one that asks questions meanwhile. Both end together.
 */
export class Session {
  readonly control: Client;
  readonly replication: Client;
  readonly #connected = new Set<Client>();
  #isClosed = false;

  constructor(
    library: { readonly Client: typeof Client },
    address: Address,
    tls: TlsMaterial | null,
    connectTimeoutMs: number,
  ) {
    const config = configOf(address, tls, connectTimeoutMs);
    this.control = new library.Client(config);
    this.replication = new library.Client({ ...config, replication: 'database' });
    // What is under way on a connection rejects with the same error, and what is asked next does so too.
    for (const client of this.#clients) client.on('error', () => undefined);
  }

  /** Rejects with whatever `pg` gives; then the session is to be closed. */
  async connect(): Promise<void> {
    for (const client of this.#clients) {
      // A socket that was destroyed would connect all the same.
      if (this.#isClosed) throw new Error('closed');
      await client.connect();
      this.#connected.add(client);
      await client.query(textEncoding);
    }
  }

  /** Ends both at once, whatever they wait for, which rejects. May be called again. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const client of this.#clients) {
      const stream = client.connection.stream as Socket;
      if (this.#connected.has(client)) {
        // Terminate, so that the server lets go of the slot without complaining.
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

/**
 * UTF-8, but of a database that keeps bytes of any encoding the bytes as they are: the server refuses to stream what is
 * not UTF-8, and would come to it again and again.
 */
const textEncoding = `SELECT set_config('client_encoding',
  CASE current_setting('server_encoding') WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END, false)`;

const terminate = Buffer.from([0x58, 0, 0, 0, 4]);

/** Everything is said: what is left out, `pg` takes from the environment. */
function configOf(address: Address, tls: TlsMaterial | null, connectTimeoutMs: number): ClientConfig {
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
    // The forms that Postgres' own subscribers ask for; a flush is waited for here and at no standby.
    options: '-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=3 -c synchronous_commit=local',
    application_name: 'weir',
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
  };
}

/** `pg` sets the name to ask for by itself, from the host. */
function tlsOptions({ servername, ...files }: TlsMaterial): ConnectionOptions {
  if (servername === undefined) return files;
  return {
    ...files,
    checkServerIdentity: (_host, certificate) => checkServerIdentity(servername, certificate),
  };
}
