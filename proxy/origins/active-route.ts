import { createHash } from 'node:crypto';
import type { Config, OriginConfig, RouteConfig } from '../../policies/config/config.ts';
import { readLagMsOf } from '../../policies/feed-scope.ts';
import { compileRoutes, type Router } from '../../policies/routing.ts';
import { tagOfName } from '../../policies/tags.ts';
import {
  compileTemplate,
  parametersForTags,
  parametersForUrls,
  type Template,
} from '../../policies/templates.ts';
import type { Origin } from '../../origin-adapters/origin.ts';
import { tagsOfPrefix, tagsOfUrl } from '../../policies/url-tags.ts';
import type { WriteRules } from '../../policies/written-tags.ts';

/** A route of the active configuration, compiled for requests. */
export interface ActiveRoute {
  readonly config: RouteConfig;
  /** Its index in the configuration, and among the counters. */
  readonly index: number;
  readonly origin: Origin;
  readonly originConfig: OriginConfig;
  /** Identifies the origin in cache keys: if its URLs change, its entries no longer match. */
  readonly originKey: string;
  readonly feed: { readonly name: string; readonly maxSilenceMs: number } | null;
  /** How long after an invalidation the origin may answer with the old state, in milliseconds; 0: never. */
  readonly readLagMs: number;
  /** The route's own tags for the parameters of a request. */
  tagsFor(params: Readonly<Record<string, string>>): string[];
  /** Tags that a write invalidates by `write.invalidate`, in addition to its target. */
  writeTagsFor(params: Readonly<Record<string, string>>): string[];
}

/** The parts of a configuration that a worker uses; a reload replaces them together. */
export interface RuntimeConfiguration {
  readonly config: Config;
  readonly router: Router;
  readonly routes: ReadonlyMap<string, ActiveRoute>;
}

/** `origins`: the adapters of `config`'s origins by name. Throws where one is missing. */
export function compileConfiguration(
  config: Config,
  origins: ReadonlyMap<string, Origin>,
): RuntimeConfiguration {
  const routes = config.routes.map((route, index): [string, ActiveRoute] => {
    const originConfig = config.origins[route.origin];
    const origin = origins.get(route.origin);
    if (originConfig === undefined || origin === undefined) throw new Error(`no origin ${route.origin}`);
    const feed = route.cache.feed === null ? null : config.feeds[route.cache.feed];
    const templates = route.cache.tags.map(compileTemplate);
    return [
      route.name,
      {
        config: route,
        index,
        origin,
        originConfig,
        originKey: originKeyOf(originConfig),
        feed: feed ? { name: feed.name, maxSilenceMs: feed.maxSilenceMs } : null,
        readLagMs: readLagMsOf(Object.values(config.feeds), route.cache),
        tagsFor: (params) => expandTags(templates, params),
        writeTagsFor: compileWriteTags(config, route),
      },
    ];
  });
  return { config, router: compileRoutes(config.routes), routes: new Map(routes) };
}

/** Maps writes to tags in a thread that serves no requests. */
export function compileWriteRules(config: Config): WriteRules {
  const routes = config.routes.map(
    (route) => [route.name, { writeTagsFor: compileWriteTags(config, route) }] as const,
  );
  return { config, router: compileRoutes(config.routes), routes: new Map(routes) };
}

/** The origin's name with a digest of its URLs and `host-header`: the same in every run. */
export function originKeyOf(origin: OriginConfig): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([origin.urls, origin.hostHeader]))
    .digest('hex');
  return `${origin.name}@${digest.slice(0, 12)}`;
}

function compileWriteTags(config: Config, route: RouteConfig): ActiveRoute['writeTagsFor'] {
  const { tags, urls, prefixes } = route.write.invalidate;
  const tagTemplates = tags.map(compileTemplate);
  const urlTemplates = urls.map(compileTemplate);
  const prefixTemplates = prefixes.map(compileTemplate);
  return (params) => [
    ...expandTags(tagTemplates, params),
    ...expandUrls(urlTemplates, params).flatMap((url) => tagsOfUrl(config, url) ?? []),
    ...expandUrls(prefixTemplates, params).flatMap((prefix) => tagsOfPrefix(config, prefix) ?? []),
  ];
}

function expandUrls(templates: readonly Template[], params: Readonly<Record<string, string>>): string[] {
  const lookup = parametersForUrls(params);
  return templates.flatMap((template) => {
    const expansion = template.expand(lookup);
    return expansion.kind === 'ok' ? [...expansion.values] : [];
  });
}

function expandTags(templates: readonly Template[], params: Readonly<Record<string, string>>): string[] {
  const lookup = parametersForTags(params);
  return templates.flatMap((template) => {
    const expansion = template.expand(lookup);
    return expansion.kind === 'ok' ? expansion.values.map(tagOfName) : [];
  });
}
