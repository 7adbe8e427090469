/** Compares what feeds and writes invalidate with what routes store, and warns where an invalidation never reaches a route. */
import { routeMatch, routeName } from './compile.ts';
import { finding, type Finding } from './diagnostic.ts';
import type { Sections } from './sections.ts';
import type { InvalidationInput, RouteInput } from './route-schema.ts';

/** A text in which `ANY` matches any text. */
type Glob = string;
const ANY = '\0';

interface Reached {
  readonly tags: readonly Glob[];
  readonly path: Glob;
}

export function warnOfUnreached({ routes, feeds }: Sections): Finding[] {
  const stored = routes.flatMap(({ route, own }) =>
    route === null || route.cache.freshness === 'none'
      ? []
      : [{ route, path: own.path, reached: reachedOf(route) }],
  );
  const maps = [...feeds].flatMap(([name, feed]) =>
    (feed?.map ?? []).map(({ invalidate }, i) => ({
      invalidate,
      path: ['feeds', name, 'map', i, 'invalidate'],
    })),
  );
  const writes = routes.flatMap(({ route }) => (route === null ? [] : [route.write.invalidate]));
  const ways = [...maps.map(({ invalidate }) => invalidate), ...writes];
  const idleRoutes = stored.flatMap(({ route, path, reached }) => {
    const isLed = route.cache.freshness === 'until-changed';
    if (!isLed && (maps.length === 0 || route.cache.tags.length === 0)) return [];
    const reaching = isLed ? maps.map(({ invalidate }) => invalidate) : ways;
    if (reaching.some((invalidate) => reaches(invalidate, reached))) return [];
    const expected = isLed ? 'a map that reaches this route' : 'a map or a write that reaches this route';
    const got = `none that names a tag or URL of route ${routeName(route)}: ${isLed ? 'no change' : 'nothing but a purge'} invalidates it`;
    return [finding([...path, 'cache', isLed ? 'freshness' : 'tags'], expected, got, 'key')];
  });
  const idleMaps = maps.flatMap(({ invalidate, path }) =>
    stored.length === 0 || stored.some(({ reached }) => reaches(invalidate, reached))
      ? []
      : [
          finding(
            path,
            'a tag or URL of a route',
            'none: it reaches only responses that name such a tag themselves',
            'key',
          ),
        ],
  );
  return [...idleRoutes, ...idleMaps];
}

function reachedOf(route: RouteInput): Reached {
  const { path } = routeMatch(route);
  return { tags: route.cache.tags.map(globOf), path: globOf(path.replace(/\/\*$/, '{rest}')) };
}

function reaches({ tags, urls, prefixes }: InvalidationInput, reached: Reached): boolean {
  return (
    tags.some((tag) => reached.tags.some((other) => meet(globOf(tag), other))) ||
    urls.some((url) => meet(pathOf(url), reached.path)) ||
    prefixes.some((prefix) => meet(`${pathOf(prefix).replace(/\/$/, '')}${ANY}`, reached.path))
  );
}

function globOf(template: string): Glob {
  return template.replace(/\{[^{}]*\}/g, ANY);
}

/** Returns the path of a URL template without the query, which routes do not match. */
function pathOf(template: string): Glob {
  return globOf(template.replace(/^https?:\/\/[^/]*/i, '').split('?', 1)[0]!);
}

/** Whether some text matches both patterns. */
function meet(a: Glob, b: Glob): boolean {
  let row = Array.from({ length: b.length + 1 }, () => false);
  for (let i = 0; i <= a.length; i += 1) {
    const next = Array.from({ length: b.length + 1 }, () => false);
    for (let j = 0; j <= b.length; j += 1) {
      if (i === 0 && j === 0) next[j] = true;
      else {
        const isAnyA = i > 0 && a[i - 1] === ANY;
        const isAnyB = j > 0 && b[j - 1] === ANY;
        const skipsA = i > 0 && row[j] === true && (isAnyA || isAnyB);
        const skipsB = j > 0 && next[j - 1] === true && (isAnyA || isAnyB);
        const both = i > 0 && j > 0 && row[j - 1] === true && (a[i - 1] === b[j - 1] || isAnyA || isAnyB);
        next[j] = skipsA || skipsB || both;
      }
    }
    row = next;
  }
  return row[b.length]!;
}
