import type { FeedFailure } from '../feed.ts';
import { isTlsFailure } from '../tls.ts';
import { Unreadable } from './byte-reader.ts';

/** The failure for any error of `pg`, the network, TLS or Postgres itself. `where`: `host:port`. */
export function failureOf(cause: unknown, where: string): FeedFailure {
  const { code, message, isFromServer } = detailsOf(cause);
  if (isFromServer) return serverFailure(code, message, cause);
  if (cause instanceof Undecodable) return failed('missing', 'soon', cause.message, cause.cause);
  if (cause instanceof Unreadable) return failed('protocol', 'slowly', `${where}: ${message}`, cause);
  if (isTlsFailure(cause) || message.includes('SSL')) {
    return failed('refused', 'slowly', `TLS with ${where}: ${message}`, cause);
  }
  if (message.startsWith('SASL') || cause instanceof NoPassword) {
    return failed('refused', 'slowly', `${where}: ${message}`, cause);
  }
  const why = code === '' || message.includes(code) ? message : `${code} ${message}`;
  return failed('unreachable', 'soon', `${where}: ${why.trim()}`, cause);
}

/** The server requires a password and the configuration has none. */
export class NoPassword extends Error {
  constructor() {
    super('the server asks for a password: set password');
  }
}

/** An object did not exist when the log was written, so the log can never be decoded. */
export class Undecodable extends Error {
  /** Null: the stream ended for another reason. */
  static from(cause: unknown): Undecodable | null {
    const { code, message, isFromServer } = detailsOf(cause);
    if (!isFromServer || code !== '42704') return null;
    const text = `Postgres says of a part of its log: ${message}; Weir goes on behind that part, with a gap`;
    return new Undecodable(text, { cause });
  }
}

export function failed(
  kind: FeedFailure['kind'],
  retry: FeedFailure['retry'],
  message: string,
  cause: unknown = null,
): FeedFailure {
  return { kind, retry, message, cause };
}

/** PostgreSQL manual, appendix A: by SQLSTATE. */
function serverFailure(code: string, text: string, cause: unknown): FeedFailure {
  const message = `Postgres says: ${text}`;
  if (code.startsWith('28') || code === '42501') return failed('refused', 'slowly', message, cause);
  // A database; a slot or a publication.
  if (code === '3D000' || code === '42704') return failed('missing', 'slowly', message, cause);
  if (code === '55006') return failed('in-use', 'soon', message, cause);
  // The server starts, stops, is overloaded, or lost the connection.
  if (/^(57P|53|08|58)/.test(code)) return failed('unreachable', 'soon', message, cause);
  return failed('protocol', 'slowly', message, cause);
}

interface Details {
  readonly code: string;
  readonly message: string;
  /** An error message of Postgres, whose code is an SQLSTATE. */
  readonly isFromServer: boolean;
}

function detailsOf(cause: unknown): Details {
  // All addresses of a name were tried.
  if (cause instanceof AggregateError && cause.errors.length > 0) return detailsOf(cause.errors[0]);
  if (!(cause instanceof Error)) return { code: '', message: String(cause), isFromServer: false };
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
  return { code, message: cause.message, isFromServer: 'severity' in cause };
}
