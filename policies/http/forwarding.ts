/** RFC 9110 §7.6 and RFC 7239: the changes that a proxy makes to the fields that it forwards. */
import { nameForm, withoutFieldsLike } from './field-names.ts';
import { fieldValue, fieldValues, hasField, listMembers, lowerName, remembered, trimmed } from './fields.ts';
import type { Fields } from './fields.ts';
import { endToEnd, isHopByHop } from './hop-by-hop.ts';
import { normalAuthority } from '../names.ts';
import { isNeverSent, isSetByProxies, statesSite } from './steering.ts';

export { endToEnd } from './hop-by-hop.ts';

/** RFC 9110 §7.6.3: received-protocol and pseudonym. */
export function viaOf(version: string): string {
  return `${version} weir`;
}

export const VIA = viaOf('1.1');

/** Key `listen.forwarding`: the fields in which trusted proxies name the client. */
export type ForwardingForm = 'any' | 'forwarded' | 'x-forwarded';

export interface ClientView {
  readonly fields: Fields;
  /** The HTTP version of the request: `1.0`, `1.1`. */
  readonly version: string;
  /** Whether the connection's peer is one of `listen.trusted-proxies`. */
  readonly trusted: boolean;
  /** Absent: `any`. */
  readonly forwarding?: ForwardingForm;
  /** The address of the connection's peer. */
  readonly remoteAddress: string;
  /** The scheme of the connection. */
  readonly scheme: 'http' | 'https';
  /** RFC 9112 §3.2.2: the effective authority of the request. */
  readonly authority: string;
}

/**
 * Scheme and host as the client named them: from a trusted proxy's fields, otherwise of the connection and the
 * request. The scheme's default port is omitted (RFC 9110 §4.2.3: the same URI).
 */
export function clientSite(client: Omit<ClientView, 'version'>): {
  readonly scheme: 'http' | 'https';
  readonly authority: string;
} {
  if (!client.trusted) return normalSite(client.scheme, client.authority);
  const forwarded = believedElements(client)?.[0];
  const scheme = (forwarded?.get('proto') ?? believedMembers(client, 'x-forwarded-proto')[0])?.toLowerCase();
  const authority = (forwarded?.get('host') ?? believedMembers(client, 'x-forwarded-host')[0])?.toLowerCase();
  return normalSite(
    scheme === 'http' || scheme === 'https' ? scheme : client.scheme,
    authority !== undefined && AUTHORITY.test(authority) ? authority : client.authority,
  );
}

/** Requests one after the other nearly always name the same host. */
let lastSite: ReturnType<typeof clientSite> | null = null;
let lastNamed = '';
let lastScheme = '';

function normalSite(scheme: 'http' | 'https', named: string): ReturnType<typeof clientSite> {
  if (lastSite === null || named !== lastNamed || scheme !== lastScheme) {
    lastSite = siteOf(scheme, named);
    lastNamed = named;
    lastScheme = scheme;
  }
  return lastSite;
}

function siteOf(scheme: 'http' | 'https', named: string): ReturnType<typeof clientSite> {
  const authority = normalAuthority(named) ?? named;
  const port = scheme === 'https' ? ':443' : ':80';
  return { scheme, authority: authority.endsWith(port) ? authority.slice(0, -port.length) : authority };
}

/**
 * Whether Forwarded and X-Forwarded-* of a trusted proxy contradict each other, which means that the proxy passed on
 * one of them from a client. They must name the same host (a form without one means the request's own), and the same
 * scheme and nearest client where both state them.
 */
export function hasForwardingConflict(client: Omit<ClientView, 'version'>): boolean {
  const { fields, trusted, forwarding = 'any' } = client;
  if (!trusted || forwarding !== 'any' || !hasField(fields, 'forwarded')) return false;
  if (!X_FORWARDED.some((name) => hasField(fields, name))) return false;
  const elements = forwardedElements(fields);
  if (elements === null) return false;
  const by = (form: ForwardingForm) => clientSite({ ...client, forwarding: form });
  if (by('forwarded').authority !== by('x-forwarded').authority) return true;
  const proto = elements[0]?.get('proto')?.toLowerCase();
  const otherProto = listMembers(fields, 'x-forwarded-proto')[0]?.toLowerCase();
  if (proto !== undefined && otherProto !== undefined && proto !== otherProto) return true;
  const node = nodeAddress(elements.at(-1)?.get('for'));
  const otherNode = nodeAddress(listMembers(fields, 'x-forwarded-for').at(-1));
  return node !== null && otherNode !== null && node !== otherNode;
}

/** The client's address: as stated by a trusted proxy, otherwise the connection's peer. */
export function clientAddress(client: Omit<ClientView, 'version'>): string {
  const own = plainAddress(client.remoteAddress);
  if (!client.trusted) return own;
  const stated = nodeAddress(believedElements(client)?.at(-1)?.get('for'));
  return stated ?? nodeAddress(believedMembers(client, 'x-forwarded-for').at(-1)) ?? own;
}

const X_FORWARDED = ['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'];

function believedElements({ fields, forwarding }: Omit<ClientView, 'version'>) {
  return forwarding === 'x-forwarded' ? null : forwardedElements(fields);
}

function believedMembers({ fields, forwarding }: Omit<ClientView, 'version'>, name: string): string[] {
  return forwarding === 'forwarded' ? [] : listMembers(fields, name);
}

/** RFC 7239 §6: the address without port and brackets; null where it is absent, unknown or obfuscated. */
function nodeAddress(node: string | undefined): string | null {
  if (node === undefined || node === '' || /^(?:unknown|_)/i.test(node)) return null;
  const address =
    /^\[([^\]]*)\]/.exec(node)?.[1] ?? (/^[^:]*:\d+$/.test(node) ? node.split(':', 1)[0]! : node);
  return plainAddress(normalIpv6(address.toLowerCase()));
}

/**
 * The request's fields for the origin: end-to-end fields, Via, and the forwarding fields. With `host-header: origin`
 * no field states host or scheme, which are not in the key; the adapter writes its own Host. Proxies' fields about
 * the client are forwarded only from trusted proxies. Fields in `keyed` (the route's `key.headers`) are always
 * forwarded.
 */
export function originFields(
  client: ClientView & { readonly hostHeader: 'origin' | 'client'; readonly keyed?: readonly string[] },
): string[] {
  const { fields, trusted, hostHeader, keyed = [] } = client;
  const remoteAddress = plainAddress(client.remoteAddress);
  const inKey = keyed.length === 0 ? NO_NAMES : new Set(keyed.map(nameForm));
  const sent = withoutFieldsLike(endToEnd(fields), (form) => {
    if (isOwnOfHop(form)) return true;
    if (inKey.has(form)) return false;
    if (isNeverSent(form)) return true;
    return isSetByProxies(form) && (!trusted || (hostHeader === 'origin' && statesSite(form)));
  });
  const site = hostHeader === 'client' ? clientSite(client) : null;
  if (site !== null) sent.push('Host', site.authority);
  const via = fieldValue(fields, 'via');
  const own = viaOf(client.version);
  sent.push('Via', via === undefined ? own : `${via}, ${own}`);
  const before = trusted ? believedMembers(client, 'x-forwarded-for') : [];
  sent.push('X-Forwarded-For', [...before, remoteAddress].join(', '));
  if (site !== null) sent.push('X-Forwarded-Proto', site.scheme, 'X-Forwarded-Host', site.authority);
  if (!trusted && site === null) {
    sent.push('Forwarded', `for=${valueText(forwardedNode(remoteAddress))}`);
    return sent;
  }
  const elements = trusted ? (believedElements(client) ?? []) : [];
  const element = new Map([['for', forwardedNode(remoteAddress)]]);
  if (site !== null) element.set('proto', site.scheme).set('host', site.authority);
  sent.push(
    'Forwarded',
    [...elements, element].map((element) => forwardedText(element, site !== null)).join(', '),
  );
  return sent;
}

/** The sent fields whose value depends on more than the client's field of that name and the key. */
export function writtenFields(sent: Fields): string[] {
  const written: string[] = [];
  for (let i = 0; i < sent.length; i += 2) {
    if (WRITTEN.has(lowerName(sent[i]!))) written.push(sent[i]!, sent[i + 1]!);
  }
  return written;
}

/** Host, X-Forwarded-Proto and X-Forwarded-Host are in the key or not sent. */
export const WRITTEN: ReadonlySet<string> = new Set(['via', 'forwarded', 'x-forwarded-for']);

/** Several Weirs may be chained, each with its own line in Via. More lines than this mean a loop. */
const MAX_PASSES = 5;

/** RFC 9110 §7.6.3: whether the request has passed Weir so often that it loops. */
export function isLooping(fields: Fields): boolean {
  if (!hasField(fields, 'via')) return false;
  return listMembers(fields, 'via').filter((member) => OWN_VIA.test(member)).length >= MAX_PASSES;
}

const OWN_VIA = /^[^ \t]+[ \t]+weir(?:[ \t]|$)/;

/** RFC 9110 §7.6.2: applies to OPTIONS and TRACE only. */
export type MaxForwards =
  | { readonly kind: 'none' }
  | { readonly kind: 'forward'; readonly value: string }
  /** The request is not forwarded: Weir answers it as the final recipient. */
  | { readonly kind: 'answer' };

export function decideMaxForwards(method: string, fields: Fields): MaxForwards {
  if (method !== 'OPTIONS' && method !== 'TRACE') return { kind: 'none' };
  const value = trimmed(fieldValue(fields, 'max-forwards') ?? '');
  if (!/^\d{1,9}$/.test(value)) return { kind: 'none' };
  return Number(value) === 0 ? { kind: 'answer' } : { kind: 'forward', value: String(Number(value) - 1) };
}

/** Fields of the hop itself, of which the origin gets this hop's own or none. */
const isOwnOfHop = remembered((form) => isHopByHop(form) || REWRITTEN.has(form));
const NO_NAMES: ReadonlySet<string> = new Set();

/** Fields that this hop replaces. */
const REWRITTEN: ReadonlySet<string> = new Set([
  'host',
  'via',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'expect',
  'proxy-authorization',
]);

const AUTHORITY = /^(?:[a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/;

/** RFC 7239 §4: elements in order, parameters by lower-case name; null where the field is absent or malformed. */
function forwardedElements(fields: Fields): Map<string, string>[] | null {
  const text = fieldValues(fields, 'forwarded').join(',');
  if (text === '') return null;
  const elements: Map<string, string>[] = [new Map()];
  for (let at = 0; at < text.length; at++) {
    at += runAt(text, at, WHITE_SPACE).length;
    const name = runAt(text, at, NAME);
    if (name !== '') {
      at += name.length;
      const quoted = runAt(text, at, QUOTED_VALUE);
      const written = quoted === '' ? runAt(text, at, PLAIN_VALUE) : quoted;
      if (written === '') return null;
      at += written.length;
      const value = quoted === '' ? written.slice(1) : quoted.slice(2, -1).replaceAll(/\\(.)/g, '$1');
      elements.at(-1)!.set(name.toLowerCase(), value);
    }
    at += runAt(text, at, WHITE_SPACE).length;
    const separator = text[at] ?? ';';
    if (separator === ',') elements.push(new Map());
    else if (separator !== ';') return null;
  }
  return elements.filter((element) => element.size > 0);
}

const WHITE_SPACE = /[ \t]+/y;
const NAME = /[!#$%&'*+\-.^_`|~\w]+/y;
const QUOTED_VALUE = /="(?:[^"\\]|\\.)*"/y;
/** Wider than a token, because addresses with ports are often sent without quotes. */
const PLAIN_VALUE = /=[!#$%&'*+\-.^_`|~\w:[\]]*/y;

/** The text that matches the pattern at that position, or an empty text. */
function runAt(text: string, at: number, pattern: RegExp): string {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0] ?? '';
}

function forwardedText(element: ReadonlyMap<string, string>, withSite: boolean): string {
  const kept = [...element].filter(([name]) => withSite || (name !== 'host' && name !== 'proto'));
  return (kept.length > 0 ? kept : ([['for', 'unknown']] as const))
    .map(([name, value]) => `${name}=${valueText(value)}`)
    .join(';');
}

function valueText(value: string): string {
  return /^[!#$%&'*+\-.^_`|~\w]+$/.test(value) ? value : quote(value);
}

function quote(text: string): string {
  return `"${text.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
}

/** A dual-stack socket shows IPv4 peers as IPv6. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address;
}

/**
 * RFC 5952: the canonical form of an IPv6 address; any other text is returned unchanged. Addresses in `::ffff:0:0/96`
 * become IPv4 addresses.
 */
function normalIpv6(address: string): string {
  if (!address.includes(':')) return address;
  const normal = URL.parse(`http://[${address}]/`)?.hostname.slice(1, -1) ?? address;
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(normal);
  if (mapped === null) return normal;
  const [high, low] = [Number.parseInt(mapped[1]!, 16), Number.parseInt(mapped[2]!, 16)];
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.');
}

/** RFC 7239 §6: an IPv6 address is enclosed in brackets. */
function forwardedNode(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
