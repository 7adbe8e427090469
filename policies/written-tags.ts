/** The tags that a write invalidates: those of its target, of the response (RFC 9111 §4.4), and of its route. */
import type { Config, OriginConfig } from './config/config.ts';
import type { Fields } from './http/fields.ts';
import { normalizeTarget } from './key.ts';
import { invalidatedGroups, invalidatedTargets } from './rfc9111/invalidation.ts';
import { groupSite } from './tags.ts';
import type { Router } from './routing.ts';
import { tagsOfPlace } from './url-tags.ts';

/** The part of the configuration by which writes are mapped to tags. */
export interface WriteRules {
  readonly config: Config;
  readonly router: Router;
  /** By route: the function that makes tags of a path's parameters by `write.invalidate`. */
  readonly routes: ReadonlyMap<
    string,
    { writeTagsFor(params: Readonly<Record<string, string>>): readonly string[] }
  >;
}

/** An unsafe request as it was sent. */
export interface SentWrite {
  readonly method: string;
  /** Path and query, normalised. */
  readonly target: string;
  readonly authority: string;
  readonly scheme: string;
}

/** The tags of the target, which are known before the request is sent. */
export function targetTags(config: Config, write: Pick<SentWrite, 'authority' | 'target'>): string[] {
  const normal = normalizeTarget(write.target);
  return normal === null ? [] : tagsOfPlace(config, { authority: write.authority, ...normal });
}

/** The tag that is held while any write to the target waits or is under way. */
export function targetTag(config: Config, write: Pick<SentWrite, 'authority' | 'target'>): string[] {
  return targetTags(config, write).slice(0, 1);
}

/** The tags of the target and of what Location, Content-Location and groups name in the response (RFC 9111 §4.4). */
export function writtenTags(
  config: Config,
  /** Null: the origin is no longer configured. */
  origin: OriginConfig | null,
  write: SentWrite,
  response: { readonly status: number; readonly fields: Fields },
): string[] {
  const unsafe = { ...write, aliases: origin?.urls ?? [], ...response };
  const urls = invalidatedTargets(unsafe).flatMap((target) =>
    targetTags(config, { authority: write.authority, target }),
  );
  const site = origin === null ? write.authority : groupSite(origin, write.authority);
  return [...new Set([...urls, ...invalidatedGroups({ ...unsafe, authority: site })])];
}

/** The tags that the write's route names in addition to those of the target. */
export function namedTags(
  { router, routes }: WriteRules,
  write: Omit<SentWrite, 'scheme'>,
): readonly string[] {
  const normal = normalizeTarget(write.target);
  const match = normal === null ? null : router.match(write.method, write.authority, normal.path);
  return match?.kind === 'route' ? routes.get(match.route.name)!.writeTagsFor(match.params) : [];
}

/** The write's tags by rules that came into force after its arrival. `response` null: there is none. */
export function laterTags(
  rules: WriteRules,
  origin: OriginConfig,
  write: SentWrite,
  response: { readonly status: number; readonly fields: Fields } | null,
): string[] {
  const written = response === null ? [] : writtenTags(rules.config, origin, write, response);
  return [...new Set([...targetTags(rules.config, write), ...namedTags(rules, write), ...written])];
}
