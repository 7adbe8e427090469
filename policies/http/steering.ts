/**
 * Request fields by which frameworks and servers take a request for one of another URL, host, method or client. All
 * functions take names in the form of `nameForm`.
 */

/** A field that the origin is never sent: it is a server's own, changes which URL a request means, or `Proxy` (httpoxy). */
export function isNeverSent(form: string): boolean {
  return NEVER_SENT.has(form) || INTERNAL_FAMILY.test(form);
}

/** A field in which a proxy tells the client, host or scheme: no word of a stranger's. */
export function isToldByProxies(form: string): boolean {
  return PROXY_FIELDS.has(form) || PROXY_FAMILY.test(form);
}

/** Of these, one that tells host or scheme, which an origin with `host-header: origin` is not sent in any field. */
export function tellsSite(form: string): boolean {
  return isToldByProxies(form) && SITE_WORD.test(form);
}

/** A field that steers the answer in a way that the key does not see, unless the route has it in its key. */
export function isSteering(form: string): boolean {
  return isNeverSent(form) || isToldByProxies(form) || METHOD_OVERRIDES.has(form);
}

/** Clients of some applications send these themselves; what they ask for is no matter of caches but for safe methods. */
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

/** Of Next.js, Vercel, React Router, Nuxt, Astro, Rack::Sendfile and nginx, and of rewriting servers. */
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
  // Pages come in parts (ESI, SSI) to whoever says that it can put them together.
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

/** Without those that Weir writes itself. Some servers read `X-Forward-For` and `X-Forwarder-For`, too. */
const PROXY_FAMILY =
  /^(?:x-forwarded-(?!(?:for|proto|host)$)|x-forward-|x-forwarder-|x-original-|x-real-|x-http-(?!method)|x-envoy-|x-vercel-|x-ssl-|ssl-client-|wl-proxy-|fly-(?:client|forwarded)-)/;

const SITE_WORD =
  /(?:^|-)(?:host|server|proto|protocol|scheme|https|ssl|port|prefix|path|uri|url|visitor)(?:-|$)/;
