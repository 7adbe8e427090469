/** RFC 9111 §4.4 and RFC 9875: the URLs and groups that the response to an unsafe request invalidates. */
import { fieldValues } from '../http/fields.ts';
import type { Fields } from '../http/fields.ts';
import { stringListField } from '../http/structured-fields.ts';
import { normalizeTarget, originForm } from '../key.ts';
import { normalAuthority } from '../names.ts';
import { tagOfGroup } from '../tags.ts';

export interface UnsafeExchange {
  readonly method: string;
  /** In origin-form, as received or normalised. */
  readonly target: string;
  readonly authority: string;
  readonly scheme: string;
  /**
   * Further origins (`http://host:port`) that count as the same one: the origin server's own URL, where it does not
   * see the client's host.
   */
  readonly aliases?: readonly string[];
  readonly status: number;
  readonly fields: Fields;
}

const SAFE: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'QUERY',
  'PROPFIND',
  'REPORT',
  'SEARCH',
]);

/** RFC 9110 §9.2.1 and the methods that IANA registers as safe. An unknown method is unsafe. */
export function isSafeMethod(method: string): boolean {
  return SAFE.has(method);
}

/**
 * §4.4: normalised targets in origin-form, each once: the request's own, and those of Location and Content-Location
 * that have the same origin. Empty for safe methods and for error responses.
 */
export function invalidatedTargets(exchange: UnsafeExchange): string[] {
  const { method, target, status, fields } = exchange;
  if (isSafeMethod(method) || status < 200 || status >= 400) return [];
  const targets = new Set<string>();
  const own = normalizeTarget(target);
  if (own !== null) targets.add(originForm(own.path, own.query));
  for (const name of ['location', 'content-location']) {
    for (const reference of fieldValues(fields, name)) {
      const named = sameOriginTarget(reference, exchange);
      if (named !== null) targets.add(named);
    }
  }
  return [...targets];
}

/** RFC 9875 §3: the groups of Cache-Group-Invalidation as tags; none for a safe method. */
export function invalidatedGroups(exchange: UnsafeExchange): string[] {
  if (isSafeMethod(exchange.method)) return [];
  const groups = stringListField(exchange.fields, 'cache-group-invalidation') ?? [];
  return [...new Set(groups)].map((group) => tagOfGroup(exchange.authority, group));
}

/**
 * The normalised target of a URI reference; null where it has another origin, because a response may not invalidate
 * another origin's URLs (§4.4).
 */
export function sameOriginTarget(reference: string, exchange: UnsafeExchange): string | null {
  const base = URL.parse(`${exchange.scheme}://${exchange.authority}${exchange.target}`);
  const resolved = base && URL.parse(ofAscii(reference), base.href);
  if (!base || !resolved) return null;
  const aliases = (exchange.aliases ?? []).flatMap((alias) => URL.parse(alias) ?? []);
  if (![base, ...aliases].map(siteOf).includes(siteOf(resolved))) return null;
  const normalised = normalizeTarget(`${resolved.pathname}${resolved.search}`);
  return normalised === null ? null : originForm(normalised.path, normalised.query);
}

function siteOf({ protocol, host }: URL): string {
  return `${protocol}//${normalAuthority(host) ?? host}`;
}

/** Percent-encodes octets beyond ASCII, one character each, as a client does that follows the reference. */
function ofAscii(reference: string): string {
  return reference.replace(
    /[\u0080-\u00ff]/g,
    (octet) => `%${octet.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
