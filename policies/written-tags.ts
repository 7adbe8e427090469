/** The tags that a write invalidates: its target, what the response names (RFC 9111 §4.4), what its route says. */
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
  /** By name: what a write invalidates by the route's `write.invalidate`, for the parameters of its path. */
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

/** The tags of the target itself, which are known before the origin is asked. */
export function targetTags(config: Config, write: Pick<SentWrite, 'authority' | 'target'>): string[] {
  const normal = normalizeTarget(write.target);
  return normal === null ? [] : tagsOfPlace(config, { authority: write.authority, ...normal });
}

/** Held while a write to the target waits or is under way, whatever else it holds. */
export function targetTag(config: Config, write: Pick<SentWrite, 'authority' | 'target'>): string[] {
  return targetTags(config, write).slice(0, 1);
}

/** What the answer makes invalid: the target and what Location, Content-Location and groups name (RFC 9111 §4.4). */
export function writtenTags(
  config: Config,
  /** null: it is not configured any more. */
  origin: OriginConfig | null,
  write: SentWrite,
  answer: { readonly status: number; readonly fields: Fields },
): string[] {
  const unsafe = { ...write, aliases: origin?.urls ?? [], ...answer };
  const urls = invalidatedTargets(unsafe).flatMap((target) =>
    targetTags(config, { authority: write.authority, target }),
  );
  const site = origin === null ? write.authority : groupSite(origin, write.authority);
  return [...new Set([...urls, ...invalidatedGroups({ ...unsafe, authority: site })])];
}

/** What the route that takes the write names, beside its target. */
export function namedTags(
  { router, routes }: WriteRules,
  write: Omit<SentWrite, 'scheme'>,
): readonly string[] {
  const normal = normalizeTarget(write.target);
  const match = normal === null ? null : router.match(write.method, write.authority, normal.path);
  return match?.kind === 'route' ? routes.get(match.route.name)!.writeTagsFor(match.params) : [];
}

/** What the write may have changed of what is stored by rules that came into force after it was taken. */
export function laterTags(
  rules: WriteRules,
  origin: OriginConfig,
  write: SentWrite,
  answer: { readonly status: number; readonly fields: Fields } | null,
): string[] {
  const written = answer === null ? [] : writtenTags(rules.config, origin, write, answer);
  return [...new Set([...targetTags(rules.config, write), ...namedTags(rules, write), ...written])];
}
