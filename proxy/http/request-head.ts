/**
 * The head of a request as Node's parser leaves it, judged by RFC 9112 and by `listen.limits`. The parser runs strict and
 * has refused what breaks the grammar; here is what it lets through although two recipients could read it in two ways.
 */
import type { ListenLimits } from '../../policies/config/config.ts';
import type { Fields } from '../../policies/http/fields.ts';
import { problem } from './problem.ts';
import type { Problem } from './problem.ts';

/** The parts of `IncomingMessage` that are looked at. */
export interface ReceivedHead {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly httpVersionMajor: number;
  readonly httpVersionMinor: number;
  readonly rawHeaders: string[];
}

export type RequestHead =
  | {
      readonly kind: 'accepted';
      readonly target: string;
      /** Lower case; empty where an HTTP/1.0 client named no host. */
      readonly authority: string;
      readonly fields: Fields;
      readonly content: RequestContent;
      /** The client waits for 100 before it sends its content (RFC 9110 §10.1.1). */
      readonly expectsContinue: boolean;
    }
  | { readonly kind: 'refused'; readonly problem: Problem };

/** `bytes`: as Content-Length says; null where chunked coding frames the content. */
export type RequestContent =
  { readonly kind: 'none' } | { readonly kind: 'some'; readonly bytes: number | null };

const NO_CONTENT: RequestContent = { kind: 'none' };

export function readRequestHead(
  head: ReceivedHead,
  scheme: 'http' | 'https',
  limits: ListenLimits,
): RequestHead {
  const method = head.method ?? '';
  const url = head.url ?? '';
  const minor = head.httpVersionMinor;
  if (head.httpVersionMajor !== 1) {
    return head.httpVersionMajor === 0
      ? malformed('The request line names no HTTP version that is spoken here.')
      : refused(505, 'HTTP version not supported', 'This server speaks HTTP/1.0 and HTTP/1.1.');
  }
  if (url.length > limits.urlBytes) return refused(414, 'URI too long', targetTooLong(limits));
  const fields = head.rawHeaders;
  if (fields.length > 2 * limits.headerCount) {
    return refused(
      431,
      'Request header fields too large',
      `More than ${limits.headerCount} fields were sent.`,
    );
  }

  let bytes = 0;
  let host: string | null = null;
  let contentLength: string | null = null;
  let transferEncoding: string | null = null;
  let expect: string | null = null;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!;
    const value = fields[i + 1]!;
    bytes += name.length + value.length + 4;
    switch (name.length) {
      case 4:
        if (name !== 'Host' && name.toLowerCase() !== 'host') break;
        // RFC 9112 §3.2: more than one Host line is refused, whether or not they agree.
        if (host !== null) return malformed('More than one Host field was sent.');
        host = value;
        break;
      case 6:
        if (name.toLowerCase() === 'expect') expect = expect === null ? value : `${expect}, ${value}`;
        break;
      case 14:
        if (name.toLowerCase() !== 'content-length') break;
        // RFC 9112 §6.3: repeated lengths may be merged where they agree; refusing is the safer choice it allows.
        if (contentLength !== null) return malformed('More than one Content-Length was sent.');
        contentLength = value;
        break;
      case 17:
        if (name.toLowerCase() !== 'transfer-encoding') break;
        transferEncoding = transferEncoding === null ? value : `${transferEncoding}, ${value}`;
        break;
    }
  }
  if (bytes > limits.headersBytes) {
    return refused(431, 'Request header fields too large', fieldsTooLarge(limits));
  }

  let content = NO_CONTENT;
  if (transferEncoding !== null) {
    const fault = faultOfCoding(transferEncoding, contentLength, minor);
    if (fault !== null) return fault;
    content = { kind: 'some', bytes: null };
  } else if (contentLength !== null) {
    if (!/^\d{1,16}$/.test(contentLength)) return malformed('Content-Length is not a plain number.');
    const declared = Number(contentLength);
    if (declared > limits.bodyBytes) return refused(413, 'Content too large', contentTooLarge(limits));
    if (declared > 0) content = { kind: 'some', bytes: declared };
  }

  // RFC 9110 §10.1.1: 100-continue is the only expectation there is, and HTTP/1.0 has none.
  if (minor === 0) expect = null;
  else if (expect !== null && expect.toLowerCase() !== '100-continue') {
    return refused(417, 'Expectation failed', 'The only expectation that can be met is 100-continue.');
  }

  // RFC 9112 §3.2: an HTTP/1.1 request without Host is refused; HTTP/1.0 knew none.
  if (host === null && minor !== 0) return malformed('An HTTP/1.1 request needs a Host field.');
  const hostAuthority = host === null ? '' : authorityOf(host);
  if (hostAuthority === null) return malformed('The Host field is not a host with an optional port.');

  const expectsContinue = expect !== null && content.kind === 'some';
  if (url.charCodeAt(0) === SLASH) {
    if (url.includes('#')) return malformed('A request target has no fragment.');
    return { kind: 'accepted', target: url, authority: hostAuthority, fields, content, expectsContinue };
  }
  if (url === '*') {
    // RFC 9112 §3.2.4: the asterisk-form is for OPTIONS alone.
    if (method !== 'OPTIONS') return malformed('The target * is for OPTIONS alone.');
    return { kind: 'accepted', target: url, authority: hostAuthority, fields, content, expectsContinue };
  }
  return readAbsoluteTarget(url, scheme, method, { fields, content, expectsContinue });
}

export function targetTooLong(limits: ListenLimits): string {
  return `The request target is longer than ${limits.urlBytes} bytes.`;
}

export function fieldsTooLarge(limits: ListenLimits): string {
  return `The header fields are larger than ${limits.headersBytes} bytes.`;
}

export function contentTooLarge(limits: ListenLimits): string {
  return `The content is larger than ${limits.bodyBytes} bytes.`;
}

export function malformedRequest(detail: string): Problem {
  return problem(400, 'Malformed request', detail);
}

const SLASH = 0x2f;

/** RFC 9110 §7.2, RFC 3986 §3.2: a name or address with an optional port; no user information, no empty host. */
const AUTHORITY =
  /^(?:(?:[a-z0-9\-._~!$&'()*+;=]|%[0-9a-f]{2})+|\[(?:[0-9a-f:.]{2,45}|v[0-9a-f]+\.[a-z0-9\-._~!$&'()*+;=:]+)\])(?::(\d*))?$/;

/** The authority in lower case and without an empty port; null where it is none. */
function authorityOf(text: string): string | null {
  const lower = text.toLowerCase();
  const match = AUTHORITY.exec(lower);
  if (match === null) return null;
  const port = match[1];
  if (port === undefined) return lower;
  if (port === '') return lower.slice(0, -1);
  return port.length <= 5 && Number(port) <= 65_535 ? lower : null;
}

const ABSOLUTE = /^(https?):\/\/([^/?#]*)([^#]*)$/i;

/** RFC 9112 §3.2.2: the target's authority is the request's, and Host is rewritten to say so. */
function readAbsoluteTarget(
  url: string,
  scheme: 'http' | 'https',
  method: string,
  rest: { readonly fields: Fields; readonly content: RequestContent; readonly expectsContinue: boolean },
): RequestHead {
  const match = ABSOLUTE.exec(url);
  if (match === null) return malformed('The request target is neither a path nor an http or https URI.');
  const authority = authorityOf(match[2]!);
  if (authority === null) return malformed('The request target names no valid host.');
  // RFC 9110 §7.4: a target of the other scheme is not ours to answer, and must not steer what is keyed by scheme.
  if (match[1]!.toLowerCase() !== scheme) {
    return refused(421, 'Misdirected request', `This connection takes requests for ${scheme} targets alone.`);
  }
  const path = match[3]!;
  // RFC 9112 §3.2.4: OPTIONS of a URI with neither path nor query is OPTIONS *.
  const target = path === '' ? (method === 'OPTIONS' ? '*' : '/') : path.startsWith('?') ? `/${path}` : path;
  return { kind: 'accepted', target, authority, ...rest, fields: withHost(rest.fields, authority) };
}

function withHost(fields: Fields, authority: string): Fields {
  const rewritten: string[] = ['Host', authority];
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i]!.toLowerCase() !== 'host') rewritten.push(fields[i]!, fields[i + 1]!);
  }
  return rewritten;
}

const KNOWN_CODINGS = /^(?:(?:x-)?gzip|deflate|(?:x-)?compress)$/;

/** RFC 9112 §6.1 and §6.3: which framings by Transfer-Encoding are not taken; null: plain chunked, which is. */
function faultOfCoding(value: string, contentLength: string | null, minor: number): RequestHead | null {
  if (contentLength !== null) return malformed('Content-Length and Transfer-Encoding were both sent.');
  if (minor === 0) return malformed('HTTP/1.0 has no Transfer-Encoding.');
  const coding = value.toLowerCase();
  if (coding === 'chunked') return null;
  const codings = coding.split(',').map((name) => name.trim());
  const last = codings.pop();
  if (last === 'chunked' && codings.every((name) => KNOWN_CODINGS.test(name))) {
    return refused(501, 'Not implemented', 'The only transfer coding taken is chunked.');
  }
  return malformed('Transfer-Encoding is not chunked.');
}

function malformed(detail: string): RequestHead {
  return { kind: 'refused', problem: malformedRequest(detail) };
}

function refused(status: number, title: string, detail: string): RequestHead {
  return { kind: 'refused', problem: problem(status, title, detail) };
}
