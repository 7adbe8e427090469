/** Compiles routes for requests, once for each configuration. */
import type { Config, OriginConfig, RouteConfig } from './config/config.ts';
import { readLagMsOf } from './feed-scope.ts';
import { originKeyOf } from './key.ts';
import { compileRoutes } from './routing.ts';
import { tagOfName } from './tags.ts';
import { compileTemplate, parametersForTags, parametersForUrls, type Template } from './templates.ts';
import { tagsOfPrefix, tagsOfUrl } from './url-tags.ts';
import type { WriteRules } from './written-tags.ts';

export interface CompiledRoute {
  readonly config: RouteConfig;
  /** The route's index in the configuration and among the counters. */
  readonly index: number;
  readonly originConfig: OriginConfig;
  /** Identifies the origin in cache keys: if its URLs change, its entries no longer match. */
  readonly originKey: string;
  readonly feed: { readonly name: string; readonly maxSilenceMs: number } | null;
  /** The time after an invalidation during which the origin may answer with the old state, in milliseconds; 0: none. */
  readonly readLagMs: number;
  /** The route's own tags for the parameters of a request. */
  tagsFor(params: Readonly<Record<string, string>>): string[];
  /** Tags that a write invalidates by `write.invalidate`, in addition to its target. */
  writeTagsFor(params: Readonly<Record<string, string>>): string[];
}

/** Throws if the configuration lacks the route's origin, which the compiler of configurations rejects. */
export function compileRoute(config: Config, route: RouteConfig, index: number): CompiledRoute {
  const originConfig = config.origins[route.origin];
  if (originConfig === undefined) throw new Error(`no origin ${route.origin}`);
  const feed = route.cache.feed === null ? null : config.feeds[route.cache.feed];
  const templates = route.cache.tags.map(compileTemplate);
  return {
    config: route,
    index,
    originConfig,
    originKey: originKeyOf(originConfig),
    feed: feed ? { name: feed.name, maxSilenceMs: feed.maxSilenceMs } : null,
    readLagMs: readLagMsOf(Object.values(config.feeds), route.cache),
    tagsFor: (params) => expandTags(templates, params),
    writeTagsFor: compileWriteTags(config, route),
  };
}

/** The rules by which writes are mapped to tags. */
export function compileWriteRules(config: Config): WriteRules {
  const routes = config.routes.map(
    (route) => [route.name, { writeTagsFor: compileWriteTags(config, route) }] as const,
  );
  return { config, router: compileRoutes(config.routes), routes: new Map(routes) };
}

function compileWriteTags(config: Config, route: RouteConfig): CompiledRoute['writeTagsFor'] {
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
