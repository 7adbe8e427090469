/** The address of a database, and the user. */
export interface Address {
  /** A name or an address; a path is the directory of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string | null;
}

/**
 * Parses `postgres://user:password@host:port/database`, whose parts may be percent-encoded (also the directory of a
 * Unix socket: `postgres://user@%2Frun%2Fpostgresql/shop`). Null: another form, or it has parameters.
 */
export function parseAddress(text: string): Address | null {
  if (!/^postgres(ql)?:\/\//.test(text) || !URL.canParse(text)) return null;
  const url = new URL(text);
  if (url.search !== '' || url.hash !== '') return null;
  try {
    const [host, user, password, database] = [
      url.hostname,
      url.username,
      url.password,
      url.pathname.slice(1),
    ].map((part) => decodeURIComponent(part)) as [string, string, string, string];
    if (host === '' || user === '' || database === '') return null;
    return {
      host: host.replace(/^\[(.*)\]$/, '$1'),
      port: url.port === '' ? 5432 : Number(url.port),
      database,
      user,
      password: password === '' ? null : password,
    };
  } catch (error) {
    // A percent sign without two digits.
    if (error instanceof URIError) return null;
    throw error;
  }
}

export function showAddress({ host, port, database }: Address): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}/${database}`;
}
