/** The admin side's endpoints: what an operator can see and do, as JSON, with problem documents for what goes wrong. */
import { Hono, type Context, type Next } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { decideAdminAccess, type AdminAccess } from '../../policies/admin-access.ts';
import { trimmed, type Fields } from '../../policies/http/fields.ts';
import { parseUrlPlace } from '../../policies/url-place.ts';
import { secondsOf } from '../threads/clock.ts';
import type { FeedStatus } from '../feeds/status.ts';
import type { AdminDependencies } from './dependencies.ts';
import { adminError } from './error-responses.ts';
import { readPurgeRequest } from './purge-request.ts';
import { purgeTags } from './purge-tags.ts';
import { isJournalSection, LIST_LIMIT } from '../writes/journal/tables.ts';
import type { WriteAction } from '../writes/journal-admin.ts';
import { bearsToken } from '../../policies/bearer-token.ts';

export function createAdminApp(deps: AdminDependencies): Hono {
  const app = new Hono();
  const endpoints = endpointsOf(deps);
  const open = new Set(endpoints.filter(({ open }) => open === true).map(({ path }) => path));
  app.use(async (c, next) => {
    const isOpen = open.has(c.req.path);
    const access = deps.token === '' ? accessOf(c, isOpen) : ALLOWED;
    if (access.kind !== 'allowed') {
      deps.onRefused(access.kind);
      return adminError(access.kind);
    }
    if (!isOpen && !bearsToken(c.req.header('authorization'), deps.token)) {
      deps.onRefused('token');
      return adminError('token', { headers: { 'WWW-Authenticate': 'Bearer realm="weir"' } });
    }
    await next();
    return undefined;
  });
  app.use(bodyBound(deps.config().admin.limits.bodyBytes));
  for (const { method, path, handle } of endpoints) app.on(method, path, handle);
  for (const path of new Set(endpoints.map(({ path }) => path))) {
    app.all(path, () => methodNotAllowed(endpoints.filter((endpoint) => endpoint.path === path)));
  }
  app.notFound((c) => adminError('unknown-path', { values: { path: c.req.path } }));
  app.onError((error, c) => {
    deps.log.error({ event: 'admin-failed', method: c.req.method, path: c.req.path, err: error });
    return adminError('internal');
  });
  return app;
}

/** Counts the bytes only of bodies without Content-Length (RFC 9112 §6.3), because counting doubles the cost of a purge. */
function bodyBound(maxBytes: number): (c: Context, next: Next) => Promise<Response | void> {
  const onError = (): Response => adminError('too-large', { values: { limit: maxBytes } });
  const countBody = bodyLimit({ maxSize: maxBytes, onError });
  return (c, next) => {
    if (c.req.header('transfer-encoding') !== undefined) return countBody(c, next);
    const length = Number(c.req.header('content-length') ?? 0);
    return length > maxBytes ? Promise.resolve(onError()) : next();
  };
}

interface Endpoint {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** The path pattern, in hono's syntax. */
  readonly path: string;
  /** The endpoint needs no token. */
  readonly open?: true;
  handle(c: Context): Promise<Response> | Response;
}

/** All endpoints of the admin API. A new endpoint is added to this list. */
function endpointsOf(deps: AdminDependencies): Endpoint[] {
  return [
    { method: 'POST', path: '/purge', handle: (c) => purge(c, deps) },
    { method: 'GET', path: '/entries', handle: (c) => entries(c, deps) },
    { method: 'GET', path: '/feeds', handle: (c) => c.json({ feeds: deps.feeds().map(feedReport) }) },
    { method: 'GET', path: '/writes', handle: (c) => listWrites(c, deps) },
    { method: 'GET', path: '/writes/:id', handle: (c) => showWrite(c, deps) },
    {
      method: 'POST',
      path: '/writes/:id/retry',
      handle: async (c) => changed(await deps.writes.retry(idOf(c)), c),
    },
    {
      method: 'DELETE',
      path: '/writes/:id',
      handle: async (c) => changed(await deps.writes.discard(idOf(c)), c),
    },
    { method: 'POST', path: '/reload', handle: (c) => reload(c, deps) },
    { method: 'POST', path: '/stop', handle: (c) => stop(c, deps) },
    { method: 'GET', path: '/stats', handle: async (c) => c.json(await deps.stats()) },
    { method: 'GET', path: '/metrics', handle: async (c) => metrics(c, await deps.metrics()) },
    { method: 'GET', path: '/healthz', open: true, handle: (c) => health(c, deps) },
    { method: 'GET', path: '/readyz', open: true, handle: (c) => readiness(c, deps) },
  ];
}

async function purge(c: Context, deps: AdminDependencies): Promise<Response> {
  const read = readPurgeRequest(new Uint8Array(await c.req.arrayBuffer()));
  if (read.kind === 'invalid') return badRequest(read.problems);
  const { mode, dryRun, ...selection } = read.request;
  const found = purgeTags(selection, deps.config());
  if (found.kind === 'invalid') return badRequest(found.problems);
  if (dryRun) return c.json(await deps.findEntries(found.tags));
  const result = await deps.invalidate(found.tags, mode);
  if (result.kind === 'not-durable') return adminError('not-durable', { values: { detail: result.detail } });
  deps.log.info({ event: 'purge', mode, sequence: result.sequence, tags: found.tags.slice(0, LOGGED_TAGS) });
  const answer = { sequence: result.sequence, tags: found.tags.length };
  const warnings = [
    ...found.warnings,
    ...(c.req.query('count') === 'true' ? await unborne(found.tags, deps) : []),
  ];
  return c.json(warnings.length === 0 ? answer : { ...answer, warnings });
}

/** Warns if no stored entry has the tags, as after a typo. It needs a scan, so it runs only with `?count=true`. */
async function unborne(tags: readonly string[], deps: AdminDependencies): Promise<string[]> {
  const { entries, complete } = await deps.findEntries(tags);
  return entries === 0 && complete ? ['no stored entry has what was purged'] : [];
}

async function entries(c: Context, deps: AdminDependencies): Promise<Response> {
  const url = c.req.query('url');
  const place = url === undefined ? null : parseUrlPlace(url);
  if (place === null) {
    const got = url === undefined ? 'none' : JSON.stringify(url);
    return badRequest([`expected ?url= with a path or an absolute http(s) URL, got ${got}`]);
  }
  const fields = fieldsOf(c.req.queries('header') ?? []);
  if (fields === null) return badRequest(['expected ?header=Name: value, got none with a colon']);
  const scheme = /^https:/i.test(url!) ? 'https' : 'http';
  const result = await deps.entries(place, fields, scheme);
  switch (result.kind) {
    case 'report':
      return c.json(result.report);
    case 'no-route':
      return adminError('no-route', { values: { path: place.path } });
    case 'host-needed':
      return badRequest(['expected an absolute URL, because the key of this route has the host']);
    default:
      return result satisfies never;
  }
}

/** Uses the field names of the contract. Times are in seconds; null means never. */
function feedReport({ silenceMs, delays: _delays, ...status }: FeedStatus): object {
  return { ...status, silence: Number.isFinite(silenceMs) ? secondsOf(silenceMs) : null };
}

function idOf(c: Context): string {
  return c.req.param('id') ?? '';
}

function listWrites(c: Context, { writes }: AdminDependencies): Response {
  const state = c.req.query('state') ?? null;
  if (state !== null && !isJournalSection(state)) {
    return badRequest([`state: expected waiting, dead or done, got ${JSON.stringify(state)}`]);
  }
  const limit = c.req.query('limit') ?? String(LISTED);
  if (!LIST_LIMIT.test(limit)) {
    return badRequest([`limit: expected a number from 1 to 9999, got ${JSON.stringify(limit)}`]);
  }
  const after = c.req.query('after') ?? null;
  const found = writes.list(state, Number(limit), after);
  return found === null
    ? badRequest([`after: expected the id of a write, got ${JSON.stringify(after)}`])
    : c.json({ writes: found });
}

function showWrite(c: Context, { writes }: AdminDependencies): Response {
  const found = writes.show(idOf(c));
  return found === null ? adminError('unknown-write') : c.json(found);
}

function changed(action: WriteAction, c: Context): Response {
  switch (action.kind) {
    case 'done':
      return c.json(action.write);
    case 'unknown':
      return adminError('unknown-write');
    case 'conflict':
      return adminError('wrong-state', { values: { detail: action.detail } });
    default:
      return action satisfies never;
  }
}

/** The default number of items in a list. */
const LISTED = 100;

async function reload(c: Context, { control = null }: AdminDependencies): Promise<Response> {
  if (control === null) return adminError('embedded');
  const answer = await control.reload();
  switch (answer.kind) {
    case 'reloaded':
      return c.json({ invalidatedRoutes: answer.invalidatedRoutes, warnings: answer.warnings });
    case 'refused':
      return adminError('reload-refused', { members: { errors: answer.errors } });
    default:
      return answer satisfies never;
  }
}

function stop(c: Context, { control = null }: AdminDependencies): Response {
  return control === null ? adminError('embedded') : c.json(control.stop(), 202);
}

/** Reports that the process serves; `problems` lists what it can't do. */
function health(c: Context, deps: AdminDependencies): Response {
  const problems = deps.problems();
  return c.json({ status: problems.length === 0 ? 'ok' : 'impaired', problems });
}

async function readiness(c: Context, deps: AdminDependencies): Promise<Response> {
  const readiness = await deps.ready();
  return c.json(readiness, readiness.ready ? 200 : 503);
}

function metrics(c: Context, text: string): Response {
  return c.body(text, 200, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' });
}

/** The number of tags in a log line: enough to identify a purge. */
const LOGGED_TAGS = 20;

/** Parses lines of the form `Name: value`; null if a line has another form. */
function fieldsOf(lines: readonly string[]): Fields | null {
  const pairs = lines.map((line) => /^([\w!#$%&'*+.^`|~-]+):(.*)$/.exec(line));
  return pairs.every((pair) => pair !== null)
    ? pairs.flatMap(([, name, value]) => [name!, trimmed(value!)])
    : null;
}

const ALLOWED: AdminAccess = { kind: 'allowed' };

/** Decides access when no token is configured. */
function accessOf(c: Context, isOpen: boolean): AdminAccess {
  const field = (name: string): string | null => c.req.header(name) ?? null;
  const length = field('content-length');
  const request = {
    method: c.req.method,
    host: field('host'),
    origin: field('origin'),
    fetchSite: field('sec-fetch-site'),
    contentType: field('content-type'),
    hasContent: field('transfer-encoding') !== null || (length !== null && Number(length) !== 0),
  };
  return decideAdminAccess(request, isOpen);
}

function methodNotAllowed(endpoints: readonly Endpoint[]): Response {
  const methods = endpoints.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  const allow = methods.join(', ');
  return adminError('method-not-allowed', { values: { methods: allow }, headers: { Allow: allow } });
}

function badRequest(problems: readonly string[]): Response {
  return adminError('bad-request', { values: { problems: problems.join('; ') } });
}
