/**
 * Request fields by which frameworks and servers treat a request as one for another URL, host, method or client. All
 * functions take names in the form of `nameForm`.
 */
import { remembered } from './fields.ts';

/**
 * Whether the origin is never sent the field: it is internal to a server, changes the URL that the request means, or
 * is `Proxy` (httpoxy).
 */
export const isNeverSent = remembered((form) => NEVER_SENT.has(form) || INTERNAL_FAMILY.test(form));

/** Whether proxies state client, host or scheme in the field. It is not accepted from untrusted peers. */
export const isSetByProxies = remembered((form) => PROXY_FIELDS.has(form) || PROXY_FAMILY.test(form));

/** Whether it is such a field for host or scheme, which an origin with `host-header: origin` is never sent. */
export function statesSite(form: string): boolean {
  return isSetByProxies(form) && SITE_WORD.test(form);
}

/** Whether the field steers the response in a way that the key does not cover, unless the route has it in its key. */
export const isSteering = remembered(
  (form) => isNeverSent(form) || isSetByProxies(form) || METHOD_OVERRIDES.has(form),
);

/** Some applications' clients send these. They matter to a cache only on safe methods. */
const METHOD_OVERRIDES: ReadonlySet<string> = new Set([
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
]);

const NEVER_SENT: ReadonlySet<string> = new Set([
  'proxy',
  'x-original-url',
  'x-original-uri',
  'x-original-path',
  'x-original-method',
  'x-override-url',
  'x-proxy-url',
  'x-request-uri',
  'request-uri',
  'x-script-name',
  'script-name',
  'x-path-info',
  'path-info',
  'path-translated',
  'x-matched-path',
]);

/** Internal fields of Next.js, Vercel, React Router, Nuxt, Astro, Rack::Sendfile, nginx and URL-rewriting servers. */
const INTERNAL_FAMILY =
  /^x-(?:rewrite|middleware|invoke|now|prerender|react-router|nuxt|astro|sendfile|accel)(?:-|$)/;

const PROXY_FIELDS: ReadonlySet<string> = new Set([
  'akamai-client-ip',
  'cf-connecting-ip',
  'cf-connecting-ipv6',
  'cf-pseudo-ipv4',
  'cf-visitor',
  'client-ip',
  'cloudfront-forwarded-proto',
  'cloudfront-viewer-address',
  'do-connecting-ip',
  'fastly-client-ip',
  'fastly-ssl',
  'forwarded-for',
  'forwarded-host',
  'forwarded-proto',
  'front-end-https',
  'remote-addr',
  'remote-host',
  'remote-user',
  // Servers send parts of pages (ESI, SSI) to clients that announce that they can assemble them.
  'surrogate-capability',
  'true-client-ip',
  'x-appengine-user-ip',
  'x-arr-ssl',
  'x-azure-clientip',
  'x-azure-socketip',
  'x-base-url',
  'x-client-cert',
  'x-client-ip',
  'x-client-verify',
  'x-cluster-client-ip',
  'x-forwarded',
  'x-host',
  'x-http-host-override',
  'x-https',
  'x-nf-client-connection-ip',
  'x-originating-ip',
  'x-protocol',
  'x-proxyuser-ip',
  'x-remote-addr',
  'x-remote-ip',
  'x-remote-user',
  'x-scheme',
  'x-server-name',
  'x-url-scheme',
]);

/** Excludes fields that Weir writes itself. Some servers also read `X-Forward-For` and `X-Forwarder-For`. */
const PROXY_FAMILY =
  /^(?:x-forwarded-(?!(?:for|proto|host)$)|x-forward-|x-forwarder-|x-original-|x-real-|x-http-(?!method)|x-envoy-|x-vercel-|x-ssl-|ssl-client-|wl-proxy-|fly-(?:client|forwarded)-)/;

const SITE_WORD =
  /(?:^|-)(?:host|server|proto|protocol|scheme|https|ssl|port|prefix|path|uri|url|visitor)(?:-|$)/;
