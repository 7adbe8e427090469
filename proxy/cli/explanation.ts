/** Computes how a request is handled under a configuration, without any network request. */
import type { Config, OriginConfig, RouteConfig } from '../../policies/config/config.ts';
import { fieldValue, type Fields } from '../../policies/http/fields.ts';
import { keyOnRoute, originKeyOf, originForm } from '../../policies/key.ts';
import type { StoringDecision } from '../../policies/model.ts';
import type { UrlPlace } from '../../policies/url-place.ts';
import { isSafeMethod } from '../../policies/rfc9111/invalidation.ts';
import { decideStoring } from '../../policies/rfc9111/storing.ts';
import { compileRoutes } from '../../policies/routing.ts';
import { normalAuthority } from '../../policies/names.ts';
import { entryTags, shownTag, tagOfName } from '../../policies/tags.ts';
import { compileTemplate, parametersForTags } from '../../policies/templates.ts';
import { cachePolicyWords, durationWords, writePolicyWords } from './policy-sentences.ts';

export interface ExplainedRequest {
  /** In upper case. */
  readonly method: string;
  readonly place: UrlPlace;
  readonly scheme: 'http' | 'https';
  readonly fields: Fields;
}

export interface Explanation {
  readonly method: string;
  /** The normalised absolute URL that a client of this Weir would request. */
  readonly url: string;
  /** The routes in file order, up to the one that matches the request. */
  readonly routes: readonly RouteVerdict[];
  readonly verdict:
    | { readonly kind: 'route'; readonly route: RouteExplanation }
    | { readonly kind: 'no-route' }
    | { readonly kind: 'method-not-allowed'; readonly allow: readonly string[] };
}

export interface RouteVerdict {
  readonly name: string;
  readonly takes: boolean;
  readonly why: string;
}

export interface RouteExplanation {
  readonly name: string;
  readonly handling: 'cache' | 'pass' | 'write';
  readonly policy: readonly string[];
  readonly origin: { readonly name: string; readonly urls: readonly string[]; readonly target: string };
  /** Null if the request does not use the cache. */
  readonly entry: { readonly key: string; readonly tags: readonly string[] } | null;
  /** How sample responses would be handled. */
  readonly responses: readonly { readonly response: string; readonly fate: string }[];
}

/** A target without a host is explained for Weir's own address, unless the fields have a Host. */
export function explain(config: Config, request: ExplainedRequest): Explanation {
  const { method, place, fields, scheme } = request;
  const { host, port } = config.listen;
  const own = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const named = fieldValue(fields, 'host');
  const authority =
    place.authority ?? (named === undefined ? own : (normalAuthority(named) ?? named.toLowerCase()));
  const asked: Asked = { method, fields, scheme, authority, path: place.path, query: place.query };
  const match = compileRoutes(config.routes).match(method, authority, place.path);
  const last = match.kind === 'route' ? match.index : config.routes.length - 1;
  return {
    method,
    url: `${scheme}://${authority}${originForm(asked.path, asked.query)}`,
    routes: config.routes.slice(0, last + 1).map((route) => verdictOn(route, asked)),
    verdict:
      match.kind === 'route'
        ? {
            kind: 'route',
            route: explainRoute(config.origins[match.route.origin]!, match.route, match.params, asked),
          }
        : match,
  };
}

interface Asked {
  readonly method: string;
  readonly fields: Fields;
  readonly scheme: 'http' | 'https';
  readonly authority: string;
  readonly path: string;
  readonly query: string;
}

function verdictOn(route: RouteConfig, { method, authority, path }: Asked): RouteVerdict {
  const { name, match } = route;
  switch (compileRoutes([route]).match(method, authority, path).kind) {
    case 'route':
      return { name, takes: true, why: `matches ${match.path}` };
    case 'method-not-allowed':
      return { name, takes: false, why: `accepts ${match.methods?.join(', ')}, not ${method}` };
    case 'no-route':
      return { name, takes: false, why: misfit(route, path) };
  }
}

function misfit(route: RouteConfig, path: string): string {
  const onAnyHost = { ...route, match: { ...route.match, host: null, methods: null } };
  return compileRoutes([onAnyHost]).match('GET', '', path).kind === 'route'
    ? `applies only to the host ${route.match.host}`
    : `does not match ${route.match.path}`;
}

function explainRoute(
  origin: OriginConfig,
  route: RouteConfig,
  params: Readonly<Record<string, string>>,
  asked: Asked,
): RouteExplanation {
  const { path, query, method } = asked;
  const isCached = (method === 'GET' || method === 'HEAD') && route.cache.freshness !== 'none';
  const handling = method === 'GET' || method === 'HEAD' ? 'cache' : isSafeMethod(method) ? 'pass' : 'write';
  const keyed = { config: route, originConfig: origin, originKey: originKeyOf(origin) };
  const { key, query: keyedQuery } = keyOnRoute(keyed, asked, asked.fields);
  const about = { name: origin.name, urls: origin.urls };
  const policy = { cache: cachePolicyWords, pass: passWords, write: writePolicyWords }[handling](route);
  if (!isCached) {
    return {
      name: route.name,
      handling,
      policy,
      origin: { ...about, target: originForm(path, query) },
      entry: null,
      responses: [],
    };
  }
  return {
    name: route.name,
    handling,
    policy,
    origin: { ...about, target: originForm(path, keyedQuery) },
    entry: { key, tags: tagsFor(route, params, { ...asked, query: keyedQuery }).map(shownTag) },
    responses: SAMPLES.map((sample) => ({ response: sample.text, fate: fateOf(sample, route, asked) })),
  };
}

function passWords(): string[] {
  return ['a safe method other than GET and HEAD: passed to the origin'];
}

/** The tags of every response to the request. A response can add more. */
function tagsFor(
  route: RouteConfig,
  params: Readonly<Record<string, string>>,
  { authority, path, query }: Asked,
): string[] {
  const extra = route.cache.tags.flatMap((text) => {
    const expansion = compileTemplate(text).expand(parametersForTags(params));
    return expansion.kind === 'ok' ? expansion.values.map(tagOfName) : [];
  });
  return entryTags({
    authority,
    path,
    query,
    route: route.name,
    origin: route.origin,
    feed: route.cache.feed,
    extra,
  });
}

interface Sample {
  readonly text: string;
  readonly status: number;
  readonly fields: Fields;
}

/** Common responses of origins. */
const SAMPLES: readonly Sample[] = [
  { text: '200 with Cache-Control: max-age=60', status: 200, fields: ['Cache-Control', 'max-age=60'] },
  { text: '200 with only an ETag', status: 200, fields: ['ETag', '"1"'] },
  { text: '200 with Cache-Control: private', status: 200, fields: ['Cache-Control', 'private, max-age=60'] },
  { text: '200 with Cache-Control: no-store', status: 200, fields: ['Cache-Control', 'no-store'] },
  {
    text: '200 with Set-Cookie and max-age=60',
    status: 200,
    fields: ['Cache-Control', 'max-age=60', 'Set-Cookie', 'a=b'],
  },
  { text: '404 without a lifetime', status: 404, fields: [] },
];

function fateOf({ status, fields }: Sample, { cache }: RouteConfig, asked: Asked): string {
  const decision = decideStoring({
    request: { method: 'GET', fields: asked.fields },
    status,
    fields,
    requestTimeMs: 0,
    responseTimeMs: 0,
    policy: cache,
    authority: asked.authority,
  });
  return storedWords(decision);
}

function storedWords(decision: StoringDecision): string {
  if (decision.kind === 'not') return `not stored: ${decision.reason}`;
  const { noCache, lifetimeSeconds, lifetimeSource } = decision.meta;
  if (noCache || lifetimeSeconds <= 0) return 'stored, and revalidated at every use';
  return `stored, fresh for ${durationWords(lifetimeSeconds * 1000)} (${lifetimeSource})`;
}
