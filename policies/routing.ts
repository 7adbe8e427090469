/** Finds the route of a request: the first in file order whose path, host and method match. */
import type { RouteConfig } from './config/config.ts';
import { normalizeTarget } from './key.ts';

export interface Router {
  /**
   * `method` in its own case; `host`: the effective authority in lower case, with its port if one was given; `path`:
   * normalised, without the query. HEAD matches where GET does.
   */
  match(method: string, host: string, path: string): RouteMatchResult;
}

export type RouteMatchResult =
  | {
      readonly kind: 'route';
      readonly route: RouteConfig;
      readonly index: number;
      /** As in the normalised path, not percent-decoded. */
      readonly params: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'no-route' }
  /** RFC 9110 §10.2.1: the methods for the Allow field. */
  | { readonly kind: 'method-not-allowed'; readonly allow: readonly string[] };

/** Throws a TypeError on a pattern that `patternProblem` rejects; the configuration's loader has checked them. */
export function compileRoutes(routes: readonly RouteConfig[]): Router {
  const compiled = routes.map(compileRoute);
  return {
    match(method, host, path) {
      let pathTaken = false;
      for (const candidate of compiled) {
        const { pattern } = candidate;
        if (!fitsPath(pattern, path) || !fitsHost(candidate.host, host)) continue;
        if (fitsMethod(candidate.methods, method)) {
          return pattern.names.length === 0 ? candidate.found : withParameters(candidate, path);
        }
        pathTaken = true;
      }
      return pathTaken ? { kind: 'method-not-allowed', allow: allowed(compiled, host, path) } : NO_ROUTE;
    },
  };
}

/** A parsed path pattern. Each segment is a literal text, or null for a parameter. */
export interface PathPattern {
  readonly segments: readonly (string | null)[];
  /** The parameters' names in order. */
  readonly names: readonly string[];
  /** Ends in `/*`: any number of further segments may follow. */
  readonly open: boolean;
  /** The text before the first parameter or the final `/*`, with which every matching path begins. */
  readonly prefix: string;
}

/** The expected form of a pattern if `text` is not a valid one; null: it is valid. */
export function patternProblem(text: string): string | null {
  if (!text.startsWith('/')) return 'a path pattern that begins with /';
  const names: string[] = [];
  const segments = text.slice(1).split('/');
  for (const [i, segment] of segments.entries()) {
    if (segment === '*' && i === segments.length - 1) continue;
    const name = PARAMETER.exec(segment)?.[1];
    if (name !== undefined) {
      if (names.includes(name)) return `a path pattern that names each parameter once, not {${name}} again`;
      names.push(name);
    } else if (/[{}]/.test(segment)) return 'a path pattern in which {name} is a whole segment';
    else if (segment.includes('*')) return 'a path pattern with * as the last segment alone';
    else if (segment === '.' || segment === '..') return 'a path pattern without . and .. segments';
    else if (!LITERAL.test(segment)) return 'a path pattern percent-encoded as in a URL, without query';
    else if (normalSegment(segment) !== segment) {
      return `a path pattern in normal form, with ${normalSegment(segment)} for ${segment}`;
    }
  }
  return null;
}

export function parsePattern(text: string): PathPattern {
  const problem = patternProblem(text);
  if (problem !== null) throw new TypeError(`expected ${problem}, got ${JSON.stringify(text)}`);
  const texts = text.slice(1).split('/');
  const open = texts.at(-1) === '*';
  if (open) texts.pop();
  const parameters = texts.map((segment) => PARAMETER.exec(segment)?.[1]);
  const firstParameter = parameters.findIndex((name) => name !== undefined);
  const literals = firstParameter === -1 ? texts : texts.slice(0, firstParameter);
  return {
    segments: texts.map((segment, i) => (parameters[i] === undefined ? segment : null)),
    names: parameters.filter((name) => name !== undefined),
    open,
    prefix: literals.map((segment) => `/${segment}`).join(''),
  };
}

/** Whether every request that matches `later` is certain to match `earlier`. */
export function takesAllOf(earlier: RouteConfig['match'], later: RouteConfig['match']): boolean {
  return (
    (earlier.host === null || (later.host !== null && fitsHost(earlier.host, later.host))) &&
    (earlier.methods === null ||
      (later.methods !== null && later.methods.every((method) => fitsMethod(earlier.methods, method)))) &&
    takesAllPaths(parsePattern(earlier.path), parsePattern(later.path))
  );
}

interface CompiledRoute {
  readonly pattern: PathPattern;
  readonly host: string | null;
  readonly methods: readonly string[] | null;
  /** The result of a match without parameters, created once. */
  readonly found: RouteMatchResult & { readonly kind: 'route' };
}

const PARAMETER = /^\{([A-Za-z_][A-Za-z0-9_-]*)\}$/;
/** RFC 3986 §3.3: pchar without `*`, which matches the rest of a path. */
const LITERAL = /^(?:[A-Za-z0-9\-._~!$&'()+,;=:@]|%[0-9A-Fa-f]{2})*$/;
const SLASH = 47;
const COLON = 58;
const NO_ROUTE = { kind: 'no-route' } as const;

/** The segment in the form of normalised paths; any other form would never match. */
function normalSegment(segment: string): string | undefined {
  return normalizeTarget(`/${segment}`)?.path.slice(1);
}

function compileRoute(route: RouteConfig, index: number): CompiledRoute {
  const { host, methods, path } = route.match;
  return {
    pattern: parsePattern(path),
    host,
    methods,
    found: { kind: 'route', route, index, params: Object.freeze({}) },
  };
}

/** Scans the path once without splitting it. */
function fitsPath(pattern: PathPattern, path: string): boolean {
  if (!path.startsWith(pattern.prefix)) return false;
  let at = 0;
  for (const segment of pattern.segments) {
    if (path.charCodeAt(at) !== SLASH) return false;
    const end = segmentEnd(path, at + 1);
    if (segment === null) {
      if (end === at + 1) return false;
    } else if (end - at - 1 !== segment.length || !path.startsWith(segment, at + 1)) return false;
    at = end;
  }
  if (at === path.length) return true;
  return pattern.open && path.charCodeAt(at) === SLASH;
}

function withParameters(candidate: CompiledRoute, path: string): RouteMatchResult {
  const params: Record<string, string> = Object.create(null);
  const { segments, names } = candidate.pattern;
  let at = 0;
  let next = 0;
  for (const segment of segments) {
    const end = segmentEnd(path, at + 1);
    if (segment === null) params[names[next++]!] = path.slice(at + 1, end);
    at = end;
  }
  return { kind: 'route', route: candidate.found.route, index: candidate.found.index, params };
}

function segmentEnd(path: string, from: number): number {
  const slash = path.indexOf('/', from);
  return slash === -1 ? path.length : slash;
}

/** A host without a port matches every port. */
function fitsHost(wanted: string | null, authority: string): boolean {
  if (wanted === null || wanted === authority) return true;
  return authority.charCodeAt(wanted.length) === COLON && authority.startsWith(wanted);
}

function fitsMethod(methods: readonly string[] | null, method: string): boolean {
  if (methods === null || methods.includes(method)) return true;
  return method === 'HEAD' && methods.includes('GET');
}

function allowed(compiled: readonly CompiledRoute[], host: string, path: string): string[] {
  const methods = compiled
    .filter((candidate) => fitsPath(candidate.pattern, path) && fitsHost(candidate.host, host))
    .flatMap((candidate) => candidate.methods ?? [])
    .flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  return [...new Set(methods)];
}

function takesAllPaths(earlier: PathPattern, later: PathPattern): boolean {
  const depth = earlier.segments.length;
  if (earlier.open ? later.segments.length < depth : later.open || later.segments.length !== depth) {
    return false;
  }
  return earlier.segments.every((segment, i) => takesSegment(segment, later.segments[i]!));
}

function takesSegment(earlier: string | null, later: string | null): boolean {
  return earlier === null ? later !== '' : earlier === later;
}
