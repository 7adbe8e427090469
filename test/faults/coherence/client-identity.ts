import type { IncomingHttpHeaders } from 'node:http';
import type { Random } from './random.ts';

/** What the request fields of a client say about it, as the origin reads them. */
export interface ClientIdentity {
  readonly language: string;
  readonly takesGzip: boolean;
  readonly user: string;
  /** The field that names the user. */
  readonly credential: 'cookie' | 'authorization';
  readonly origin: string;
}

const LANGUAGES = ['de', 'en', 'fr'];
const USERS = ['alice', 'bob', 'eve', 'mallory'];
const SITES = ['https://a.example', 'https://b.example'];

export function someClient(random: Random): ClientIdentity {
  return {
    language: random.pick(LANGUAGES),
    takesGzip: random.below(2) === 0,
    user: random.pick(USERS),
    credential: random.below(2) === 0 ? 'cookie' : 'authorization',
    origin: random.pick(SITES),
  };
}

/** The request fields that identify a client to the origin. */
export function fieldsOf(client: ClientIdentity, credential = client.credential): Record<string, string> {
  return {
    'accept-language': client.language,
    'accept-encoding': client.takesGzip ? 'gzip' : 'identity',
    origin: client.origin,
    [credential]: credential === 'cookie' ? `user=${client.user}` : `Bearer ${client.user}`,
  };
}

/** Reverses `fieldsOf`. */
export function clientOf(headers: IncomingHttpHeaders): ClientIdentity {
  const bearer = /^Bearer (\w+)$/.exec(headers.authorization ?? '')?.[1];
  const cookie = /^user=(\w+)$/.exec(headers.cookie ?? '')?.[1];
  return {
    language: headers['accept-language'] ?? 'none',
    takesGzip: headers['accept-encoding'] === 'gzip',
    user: bearer ?? cookie ?? 'nobody',
    credential: bearer === undefined ? 'cookie' : 'authorization',
    origin: headers.origin ?? 'none',
  };
}
