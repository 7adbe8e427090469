/**
 * Decides which requests the admin port accepts if no token is set: only those of programs on this machine. A browser
 * on this machine also sends requests on behalf of web pages. These are recognised by a foreign host name (DNS
 * rebinding), by Origin and Sec-Fetch-Site, and by a content type that needs no preflight (Fetch Standard).
 */
import { trimmed } from './http/fields.ts';

export interface AdminRequest {
  readonly method: string;
  /** Host, Origin, Sec-Fetch-Site and Content-Type as received; null where the field is absent. */
  readonly host: string | null;
  readonly origin: string | null;
  readonly fetchSite: string | null;
  readonly contentType: string | null;
  readonly hasContent: boolean;
}

export type AdminAccess =
  | { readonly kind: 'allowed' }
  /** The host name is not one of this machine. */
  | { readonly kind: 'foreign-host' }
  /** A web page of another origin requests a change. */
  | { readonly kind: 'foreign-page' }
  | { readonly kind: 'not-json' };

const ALLOWED: AdminAccess = { kind: 'allowed' };

/** `isOpen`: the endpoint shows only public information. */
export function decideAdminAccess(request: AdminRequest, isOpen: boolean): AdminAccess {
  if (!isOpen && !isLoopbackAuthority(request.host)) return { kind: 'foreign-host' };
  if (request.method === 'GET' || request.method === 'HEAD') return ALLOWED;
  if (isForeignPage(request)) return { kind: 'foreign-page' };
  return !request.hasContent || isJson(request) ? ALLOWED : { kind: 'not-json' };
}

/** `localhost`, 127.0.0.0/8 or [::1], with or without a port. No name server resolves these to another host. */
export function isLoopbackAuthority(host: string | null): boolean {
  const name = /^(\[[^\]]*\]|[^:]*)(?::\d{1,5})?$/.exec(host ?? '')?.[1]?.toLowerCase();
  if (name === undefined) return false;
  if (name === 'localhost' || name === '[::1]') return true;
  const octets = name.split('.');
  return octets.length === 4 && octets[0] === '127' && octets.every(isOctet);
}

function isOctet(text: string): boolean {
  return /^(?:0|[1-9]\d{0,2})$/.test(text) && Number(text) <= 255;
}

function isForeignPage({ host, origin, fetchSite }: AdminRequest): boolean {
  const site = trimmed(fetchSite ?? 'none').toLowerCase();
  if (site !== 'none' && site !== 'same-origin') return true;
  return origin !== null && trimmed(origin).toLowerCase() !== `http://${(host ?? '').toLowerCase()}`;
}

/**
 * Content without a type counts as JSON unless a browser sent it: browsers send Origin with every POST and DELETE.
 */
function isJson({ contentType, origin, fetchSite }: AdminRequest): boolean {
  if (contentType === null) return origin === null && fetchSite === null;
  const type = trimmed(contentType.split(';', 1)[0]!).toLowerCase();
  return type === 'application/json' || /^application\/[\w.!#$&^-]+\+json$/.test(type);
}
