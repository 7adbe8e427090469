/**
 * Checks a request's head, as the parser leaves it, against RFC 9112 and `listen.limits`. The parser has refused what breaks
 * the grammar; this refuses what is within it but ambiguous, so that two recipients could read it differently.
 */
import type { ListenLimits } from '../../policies/config/config.ts';
import { withOneCookie } from '../../policies/http/cookies.ts';
import { decideFieldNames, type UnderscoreRule } from '../../policies/http/field-names.ts';
import { trimmed, type Fields } from '../../policies/http/fields.ts';
import { decideUpgrade } from '../../policies/http/upgrade.ts';
import { listenerError, type ErrorValues, type ListenerErrorCode } from './error-responses.ts';
import type { ParsedHead } from './h1/head-parser.ts';
import type { Problem } from './problem.ts';

export type RequestHead = AcceptedHead | Refused;

export interface AcceptedHead {
  readonly kind: 'accepted';
  readonly method: string;
  /** Of HTTP/1. */
  readonly minor: 0 | 1;
  readonly target: string;
  /** In lower case; empty: an HTTP/1.0 client named no host. */
  readonly authority: string;
  readonly fields: Fields;
  /** How many fields `listen.underscores` has dropped. */
  readonly dropped: number;
  readonly content: RequestContent;
  /** The client waits for 100 before it sends its content (RFC 9110 §10.1.1). */
  readonly expectsContinue: boolean;
  /** RFC 9112 §9.3: the client keeps the connection open for further requests. */
  readonly persists: boolean;
  /** The protocols that the client asks to switch to (RFC 9110 §7.8), lower case; null: none that may be offered. */
  readonly upgrade: readonly string[] | null;
}

interface Refused {
  readonly kind: 'refused';
  readonly problem: Problem;
}

/** `bytes`: the Content-Length; null: the content is chunked. */
export type RequestContent =
  { readonly kind: 'none' } | { readonly kind: 'some'; readonly bytes: number | null };

const NO_CONTENT: RequestContent = { kind: 'none' };
const CHUNKED: RequestContent = { kind: 'some', bytes: null };

/** Checks in this order: method, framing, expectation, host, target. */
export function readRequestHead(
  head: ParsedHead,
  scheme: 'http' | 'https',
  { limits, underscores }: { readonly limits: ListenLimits; readonly underscores: UnderscoreRule },
): RequestHead {
  const { method, target: url, fields: received, minor } = head;
  if (method === 'CONNECT') return refused('connect');
  const found = findSingular(received);
  if (typeof found === 'string') return malformed(found);

  const content = readContent(found, minor, limits);
  if (content.kind === 'refused') return content;
  // RFC 9110 §9.3.8.
  if (method === 'TRACE' && content.kind === 'some') return malformed('A TRACE request has no content.');

  // RFC 9110 §10.1.1: 100-continue is the only expectation there is, and HTTP/1.0 has none.
  const expect = minor === 0 ? null : found.expect;
  if (expect !== null && expect.toLowerCase() !== '100-continue') {
    return refused('unknown-expectation');
  }
  const expectsContinue = expect !== null && content.kind === 'some';

  // RFC 9112 §3.2: an HTTP/1.1 request without Host is refused; HTTP/1.0 knew none.
  if (found.host === null && minor !== 0) return malformed('An HTTP/1.1 request needs a Host field.');
  const authority = found.host === null ? '' : hostAuthority(found.host);
  if (authority === null) return malformed('The Host field is not a host with an optional port.');

  let fields: Fields = received;
  let dropped = 0;
  if (head.hasOddNames) ({ fields, dropped } = decideFieldNames(received, underscores));
  if (found.cookies > 1) fields = withOneCookie(fields);
  const persists = persistsAfter(found.connection, minor);
  const upgrade = readUpgrade(head, found);
  // Property by property: a spread costs each request several times as much.
  const accepted: AcceptedHead = {
    kind: 'accepted',
    method,
    minor,
    target: url,
    authority,
    fields,
    dropped,
    content,
    expectsContinue,
    persists,
    upgrade,
  };
  if (url.charCodeAt(0) === SLASH) return accepted;
  if (url === '*') {
    // RFC 9112 §3.2.4: the asterisk-form is for OPTIONS alone.
    if (method !== 'OPTIONS') return malformed('The target * is for OPTIONS alone.');
    return accepted;
  }
  return readAbsoluteTarget(url, scheme, accepted);
}

const SLASH = 0x2f;

interface SingularFields {
  host: string | null;
  contentLength: string | null;
  transferEncoding: string | null;
  expect: string | null;
  cookies: number;
  /** Connection and Proxy-Connection, which some clients send in its place. */
  connection: string | null;
  asksForUpgrade: boolean;
}

/** The fields that frame and direct a request; or, as text, what is wrong with them. */
function findSingular(fields: Fields): SingularFields | string {
  const found: SingularFields = {
    host: null,
    contentLength: null,
    transferEncoding: null,
    expect: null,
    cookies: 0,
    connection: null,
    asksForUpgrade: false,
  };
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!;
    const value = fields[i + 1]!;
    switch (name.length) {
      case 4:
        if (name !== 'Host' && name.toLowerCase() !== 'host') break;
        // RFC 9112 §3.2: more than one Host line is refused, whether or not they agree.
        if (found.host !== null) return 'More than one Host field was sent.';
        found.host = value;
        break;
      case 6:
        if (name.toLowerCase() === 'expect') found.expect = joined(found.expect, value);
        else if (name.toLowerCase() === 'cookie') found.cookies += 1;
        break;
      case 7:
        if (name.toLowerCase() === 'upgrade') found.asksForUpgrade = true;
        break;
      case 10:
        if (name.toLowerCase() === 'connection') found.connection = joined(found.connection, value);
        break;
      case 14:
        if (name.toLowerCase() !== 'content-length') break;
        // RFC 9112 §6.3: repeated lengths may be merged where they agree; refusing is the safer choice it allows.
        if (found.contentLength !== null) return 'More than one Content-Length was sent.';
        found.contentLength = value;
        break;
      case 16:
        if (name.toLowerCase() === 'proxy-connection') found.connection = joined(found.connection, value);
        break;
      case 17:
        if (name.toLowerCase() === 'transfer-encoding') {
          found.transferEncoding = joined(found.transferEncoding, value);
        }
        break;
    }
  }
  return found;
}

function joined(before: string | null, value: string): string {
  return before === null ? value : `${before}, ${value}`;
}

/** RFC 9112 §9.3: HTTP/1.1 persists unless told otherwise, HTTP/1.0 only where told. */
function persistsAfter(connection: string | null, minor: 0 | 1): boolean {
  if (connection === null) return minor === 1;
  if (hasOption(connection, 'close')) return false;
  return minor === 1 || hasOption(connection, 'keep-alive');
}

function hasOption(connection: string, option: string): boolean {
  const lower = connection.toLowerCase();
  return lower === option || (lower.includes(option) && lower.split(',').map(trimmed).includes(option));
}

/**
 * Only a GET without content may switch protocols: nothing after it on the connection is HTTP. Upgrade is ignored in other
 * requests (RFC 9110 §7.8), and where it names only other versions of HTTP, or TLS.
 */
function readUpgrade(
  { method, minor, fields }: ParsedHead,
  { asksForUpgrade, connection, contentLength, transferEncoding }: SingularFields,
): readonly string[] | null {
  if (!asksForUpgrade || connection === null || method !== 'GET' || minor === 0) return null;
  if (contentLength !== null || transferEncoding !== null) return null;
  return hasOption(connection, 'upgrade') ? decideUpgrade(fields) : null;
}

/** RFC 9112 §6.3: how the content is framed; refused unless that is unambiguous. */
function readContent(
  { contentLength, transferEncoding }: SingularFields,
  minor: number,
  limits: ListenLimits,
): RequestContent | Refused {
  if (transferEncoding !== null) {
    if (contentLength !== null) return malformed('Content-Length and Transfer-Encoding were both sent.');
    return faultOfCoding(transferEncoding, minor) ?? CHUNKED;
  }
  if (contentLength === null) return NO_CONTENT;
  if (!/^\d{1,16}$/.test(contentLength)) return malformed('Content-Length is not a plain number.');
  const bytes = Number(contentLength);
  if (bytes > limits.bodyBytes) return refused('content-too-large', { limit: limits.bodyBytes });
  return bytes === 0 ? NO_CONTENT : { kind: 'some', bytes };
}

/** RFC 9110 §7.2, RFC 3986 §3.2: a name or address with an optional port; no user information, no empty host. */
const AUTHORITY =
  /^(?:(?:[a-z0-9\-._~!$&'()*+;=]|%[0-9a-f]{2})+|\[(?:[0-9a-f:.]{2,45}|v[0-9a-f]+\.[a-z0-9\-._~!$&'()*+;=:]+)\])(?::(\d*))?$/;

/** Clients of one listener nearly always name one host. */
let lastHost = '';
let lastAuthority: string | null = null;

function hostAuthority(host: string): string | null {
  if (host !== lastHost) {
    lastAuthority = authorityOf(host);
    lastHost = host;
  }
  return lastAuthority;
}

/** The authority in lower case and without an empty port; null: not an authority. */
function authorityOf(text: string): string | null {
  const lower = text.toLowerCase();
  const match = AUTHORITY.exec(lower);
  if (match === null) return null;
  const port = match[1];
  if (port === undefined) return lower;
  if (port === '') return lower.slice(0, -1);
  return port.length <= 5 && Number(port) <= 65_535 ? lower : null;
}

const ABSOLUTE = /^(https?):\/\/([^/?#]*)((?:[/?][^#]*)?)$/i;

/** RFC 9112 §3.2.2: the target's authority replaces that of Host. */
function readAbsoluteTarget(url: string, scheme: 'http' | 'https', head: AcceptedHead): RequestHead {
  const match = ABSOLUTE.exec(url);
  if (match === null) return malformed('The request target is neither a path nor an http or https URI.');
  const authority = authorityOf(match[2]!);
  if (authority === null) return malformed('The request target names no valid host.');
  // RFC 9110 §7.4: a target of the other scheme is misdirected, and must not steer what is keyed by scheme.
  if (match[1]!.toLowerCase() !== scheme) {
    return refused('misdirected', { scheme });
  }
  const path = match[3]!;
  // RFC 9112 §3.2.4: OPTIONS of a URI with neither path nor query is OPTIONS *.
  const target =
    path === '' ? (head.method === 'OPTIONS' ? '*' : '/') : path.startsWith('?') ? `/${path}` : path;
  return { ...head, target, authority, fields: withHost(head.fields, authority) };
}

function withHost(fields: Fields, authority: string): Fields {
  const rewritten: string[] = ['Host', authority];
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i]!.toLowerCase() !== 'host') rewritten.push(fields[i]!, fields[i + 1]!);
  }
  return rewritten;
}

const KNOWN_CODINGS = /^(?:(?:x-)?gzip|deflate|(?:x-)?compress)$/;

/** RFC 9112 §6.1, §6.3: why a Transfer-Encoding is refused; null: it is chunked alone, which is accepted. */
function faultOfCoding(value: string, minor: number): Refused | null {
  if (minor === 0) return malformed('HTTP/1.0 has no Transfer-Encoding.');
  const coding = value.toLowerCase();
  if (coding === 'chunked') return null;
  const codings = coding.split(',').map(trimmed);
  const last = codings.pop();
  if (last === 'chunked' && codings.every((name) => KNOWN_CODINGS.test(name))) {
    return refused('unknown-coding');
  }
  return malformed('Transfer-Encoding is not chunked.');
}

function malformed(fault: string): Refused {
  return refused('malformed-request', { fault });
}

function refused(code: ListenerErrorCode, values: ErrorValues = {}): Refused {
  return { kind: 'refused', problem: listenerError(code, values) };
}
