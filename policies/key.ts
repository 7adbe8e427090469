/**
 * The cache key. Path and query are normalised once, for the key and for the origin, and what the key leaves out is
 * not sent to the origin. So nothing outside the key steers the stored response.
 */
import { createHash } from 'node:crypto';
import type {
  AmbiguousPathRule,
  OriginConfig,
  QueryKey,
  RouteCacheConfig,
  RouteConfig,
} from './config/config.ts';
import { readCookies } from './http/cookies.ts';
import { comparedValue, nameForm, withoutFieldsLike } from './http/field-names.ts';
import { fieldValues, remembered, type Fields } from './http/fields.ts';
import { isSteering } from './http/steering.ts';
import { decodedEscapes, normalName } from './names.ts';

export interface NormalTarget {
  readonly path: string;
  /** The query without `?`; empty: none. */
  readonly query: string;
}

/**
 * RFC 3986 §6.2.2: an origin-form target without dot segments, with percent-encoding in upper case, unreserved
 * characters decoded, and characters encoded that must not appear unencoded. Null where two servers might read the
 * target differently: NUL or other controls, a fragment, a malformed escape in the path, or no leading slash.
 */
export function normalizeTarget(target: string): NormalTarget | null {
  if (isPlain(target)) return splitTarget(target);
  if (!target.startsWith('/') || FORBIDDEN.test(target) || /%00/.test(target)) return null;
  const { path, query } = splitTarget(target);
  if (BROKEN_ESCAPE.test(path)) return null;
  return { path: withoutDotSegments(normalEscapes(path, 'path')), query: normalEscapes(query, 'query') };
}

/** RFC 9112 §3.2.1: path and query as one request target. */
export function originForm(path: string, query: string): string {
  return query === '' ? path : `${path}?${query}`;
}

export type TargetDecision =
  /** `isAmbiguous`: the response may be that of another path and is not stored. */
  | (NormalTarget & { readonly kind: 'target'; readonly isAmbiguous: boolean })
  | { readonly kind: 'malformed' }
  | { readonly kind: 'ambiguous' };

/** The normalised target, and whether every origin reads the same path in it. */
export function decideTarget(target: string, rule: AmbiguousPathRule): TargetDecision {
  // Nearly all targets: neither escapes nor backslashes nor dot segments.
  if (isPlain(target)) {
    const { path, query } = splitTarget(target);
    return { kind: 'target', path, query, isAmbiguous: false };
  }
  const normal = normalizeTarget(target);
  if (normal === null) return { kind: 'malformed' };
  const { path, query } = normal;
  const isAmbiguous = hidesDotSegment(target.split('?', 1)[0]!);
  if (isAmbiguous && rule === 'refuse') return { kind: 'ambiguous' };
  return { kind: 'target', path, query, isAmbiguous };
}

/** The query in the form in which it is in the key and is sent to the origin. */
export function keyedQuery(query: string, rule: QueryKey): string {
  if (rule === 'all' || query === '') return query;
  if (rule === 'none') return '';
  const named = new Set(('only' in rule ? rule.only : rule.except).map(normalName));
  const wanted = 'only' in rule;
  return query
    .split('&')
    .map((parameter) => ({ parameter, name: parameterName(parameter) }))
    .filter(({ parameter, name }) => parameter !== '' && named.has(name) === wanted)
    .toSorted((a, b) => (a.name === b.name ? 0 : a.name < b.name ? -1 : 1))
    .map(({ parameter }) => parameter)
    .join('&');
}

export interface KeyParts {
  /** The origin's own key. */
  readonly origin: string;
  /** Whether the origin sees the client's scheme and host (`host-header: client`): only then are they in the key. */
  readonly seesHost: boolean;
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
  readonly query: string;
  readonly policy: RouteCacheConfig;
  readonly fields: Fields;
}

/**
 * The key, and the query that is sent to the origin. Different requests have different keys, because no part can
 * contain a line feed.
 */
export function keyOf(parts: KeyParts): { readonly key: string; readonly query: string } {
  const { headers, cookies, query: rule } = parts.policy.key;
  const query = keyedQuery(parts.query, rule);
  const site = parts.seesHost ? `${parts.scheme}://${parts.authority}` : '';
  let key = `${parts.origin}\n${site}\n${originForm(parts.path, query)}`;
  for (const name of headers) key += chosenField(parts.fields, name);
  if (cookies.length > 0) {
    const reading = readCookies(parts.fields, cookies);
    if (reading.kind === 'read') {
      for (const name of cookies) key += chosen('c', name, reading.values.get(name));
    } else for (const value of fieldValues(parts.fields, 'cookie')) key += chosen('c', '*', value);
  }
  return { key, query };
}

/** The properties of a route that its keys depend on. */
export interface KeyedRoute {
  readonly config: Pick<RouteConfig, 'cache'>;
  readonly originConfig: Pick<OriginConfig, 'hostHeader'>;
  /** The result of `originKeyOf`. */
  readonly originKey: string;
}

/** The key of a GET of the target on this route, and the query that is sent to the origin. */
export function keyOnRoute(
  { config, originConfig, originKey }: KeyedRoute,
  { scheme, authority, path, query }: Pick<KeyParts, 'scheme' | 'authority' | 'path' | 'query'>,
  fields: Fields,
): { readonly key: string; readonly query: string } {
  return keyOf({
    origin: originKey,
    seesHost: originConfig.hostHeader === 'client',
    scheme,
    authority,
    path,
    query,
    policy: config.cache,
    fields,
  });
}

/** The origin's name with a digest of its URLs and `host-header`: the same in every run. */
export function originKeyOf(origin: OriginConfig): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([origin.urls, origin.hostHeader]))
    .digest('hex');
  return `${origin.name}@${digest.slice(0, 12)}`;
}

/** The key for display: values of fields and cookies, which may be secrets, are replaced by a digest. */
export function shownKey(key: string): string {
  return key
    .split('\n')
    .map((part, i) => (i < UNHASHED_PARTS ? part : shownPart(part)))
    .join('\n');
}

function shownPart(part: string): string {
  const value = part.indexOf('=') + 1;
  return value === 0 || value === part.length ? part : part.slice(0, value) + shownValue(part.slice(value));
}

/** The digest that is shown in place of a possibly secret value. */
export function shownValue(value: string): string {
  return `#${createHash('sha256').update(value).digest('hex').slice(0, 12)}`;
}

/** The number of key parts that are never hashed: origin, site and target. */
const UNHASHED_PARTS = 3;

/** Fields removed, in addition to the steering ones, from requests whose response may be stored. */
const UNKEYED_REQUEST_FIELDS: ReadonlySet<string> = new Set([
  'range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
  'content-length',
  'content-type',
  'content-encoding',
  'content-language',
  'expect',
]);

const isUnkeyedOrSteering = remembered((form) => UNKEYED_REQUEST_FIELDS.has(form) || isSteering(form));

/**
 * The fields of a request that a fetch sends to the origin: without steering fields, the client's own
 * conditions and ranges (RFC 9111 §4.3), and fields of content, which a GET is forwarded without. Fields in the
 * route's key remain.
 */
export function unkeyedRequestFields(fields: Fields, policy: RouteCacheConfig): string[] {
  const { headers } = policy.key;
  if (headers.length === 0) return withoutFieldsLike(fields, isUnkeyedOrSteering);
  const keyed = new Set(headers.map(nameForm));
  return withoutFieldsLike(fields, (form) => isUnkeyedOrSteering(form) && !keyed.has(form));
}

/** Whether the origin's response may depend on a known field that the key leaves out. */
export function hasUnkeyedFields(fields: Fields, policy: RouteCacheConfig): boolean {
  return unkeyedRequestFields(fields, policy).length < fields.length;
}

/** Whether the origin may treat the request as one for another URL, host, method or client. */
export function isSteered(fields: Fields): boolean {
  for (let i = 0; i < fields.length; i += 2) if (isSteering(nameForm(fields[i]!))) return true;
  return false;
}

const PLAIN_TARGET = /^\/[\w\-./~!$&'()*+,;=:@]*(?:\?[\w\-./~!$&'()*+,;=:@/?]*)?$/;
// oxlint-disable-next-line no-control-regex -- controls are what it refuses
const FORBIDDEN = /[\x00-\x20\x7f#]/;
const BROKEN_ESCAPE = /%(?![0-9a-f]{2})/i;

/** Whether it is in normal form, and every server reads the same path in it. */
function isPlain(target: string): boolean {
  return PLAIN_TARGET.test(target) && !target.includes('/.');
}

function splitTarget(target: string): NormalTarget {
  const mark = target.indexOf('?');
  return mark < 0
    ? { path: target, query: '' }
    : { path: target.slice(0, mark), query: target.slice(mark + 1) };
}

/** RFC 3986 §2.2: reserved characters stay as sent, encoded or not: `%2F` is not `/`. */
function normalEscapes(text: string, where: 'path' | 'query'): string {
  const bare = text.replaceAll(/[^\w\-.~!$&'()*+,;=:@/?%]/gu, (character) => encodeBytes(character, where));
  return bare.replaceAll(/%[0-9a-f]{2}/gi, (escape) => {
    const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16));
    return /[\w\-.~]/.test(character) ? character : escape.toUpperCase();
  });
}

/** A target has one character for each byte. Any other character is encoded as UTF-8. */
function encodeBytes(character: string, where: 'path' | 'query'): string {
  // Many queries have these characters unencoded, and servers agree on them only if they stay as sent.
  if (where === 'query' && /[[\]{}|^`"<>\\]/.test(character)) return character;
  const code = character.codePointAt(0)!;
  const bytes = code <= 0xff ? [code] : [...new TextEncoder().encode(character)];
  return bytes.map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
}

/** RFC 3986 §5.2.4. */
function withoutDotSegments(path: string): string {
  if (!path.includes('/.')) return path;
  const kept: string[] = [];
  const segments = path.slice(1).split('/');
  const last = segments.length - 1;
  segments.forEach((segment, i) => {
    const dots = segment === '.' || segment === '..';
    if (segment === '..') kept.pop();
    if (!dots) kept.push(segment);
    else if (i === last) kept.push('');
  });
  return `/${kept.join('/')}`;
}

/**
 * Whether decoding the path, possibly several times, yields a dot segment: after `%2F` or `\\`, before a parameter
 * (`..;`), or encoded itself. An origin that decodes first would find another path than the one that selected route
 * and key.
 */
function hidesDotSegment(path: string): boolean {
  if (!/[%\\]|\/\./.test(path)) return false;
  let text = withoutDotSegments(path);
  for (let round = 0; round <= DECODINGS; round += 1) {
    if (text.split(/[/\\]/).some(isDotSegment)) return true;
    const decoded = decodedOnce(text);
    if (decoded === text) return false;
    text = decoded;
  }
  return false;
}

/** Chained servers may decode a path more than once. */
const DECODINGS = 3;

function isDotSegment(segment: string): boolean {
  const name = segment.split(/[;?#]/, 1)[0]!.trim();
  return name === '.' || name === '..';
}

/** Decodes overlong UTF-8 as well, as lenient decoders do. */
function decodedOnce(text: string): string {
  return text
    .replaceAll(/%(?:c0|e0%80|f0%80%80)%(?:ae|2e)/gi, '.')
    .replaceAll(/%(?:c0|e0%80|f0%80%80)%(?:af|2f)/gi, '/')
    .replaceAll(/%(?:c1|e0%81|f0%80%81)%9c/gi, '\\')
    .replaceAll(/%[0-9a-f]{2}/gi, (escape) => String.fromCharCode(Number.parseInt(escape.slice(1), 16)));
}

function parameterName(parameter: string): string {
  return normalName(decodedEscapes(parameter.split('=', 1)[0]!.replaceAll('+', ' ')));
}

/** The field's part of the key. Lines stay separate, because origins may treat them differently from one list. */
function chosenField(fields: Fields, name: string): string {
  const lines = fieldValues(fields, name);
  const value = chosen('h', name, comparedValue(fields, name));
  return lines.length < 2 ? value : value + lines.map((line) => chosen('h', name, line)).join('');
}

function chosen(kind: string, name: string, value: string | undefined): string {
  return value === undefined ? `\n${kind}:${name}` : `\n${kind}:${name}=${value}`;
}
