/** `weir explain`: what becomes of a request, and what is stored for it where a Weir runs. */
import type { AdminConfig } from '../../policies/config/config.ts';
import type { EntriesReport, EntryReport } from '../admin/dependencies.ts';
import { askAdmin } from './admin-client.ts';
import type { ExplainCommand } from './arguments.ts';
import { readConfigFile, type ConfigFile } from './config-file.ts';
import { tellInvalid } from './failure.ts';
import { explain, type Explanation, type RouteExplanation } from './explanation.ts';
import type { Output } from './output.ts';

export interface ExplainOptions extends Omit<ConfigFile, 'file'> {
  readonly command: ExplainCommand;
  readonly stdout: Output;
  readonly stderr: Output;
}

/** The exit code: 0 a route takes the request, 1 none does. */
export async function runExplain({ command, stdout, stderr, ...source }: ExplainOptions): Promise<0 | 1> {
  const { file, json, method, url, place, fields } = command;
  const loaded = await readConfigFile({ ...source, file });
  if (loaded.kind === 'invalid') {
    tellInvalid(loaded.errors, { json, stdout, stderr });
    return 1;
  }
  const { config } = loaded;
  const isSecure = place.authority === null ? config.listen.tls !== null : /^https:/i.test(url);
  const explanation = explain(config, { method, place, fields, scheme: isSecure ? 'https' : 'http' });
  const stored = await findStored(config.admin, explanation, fields);
  stdout.write(json ? `${JSON.stringify({ ...explanation, stored })}\n` : textOf(explanation, stored));
  return explanation.verdict.kind === 'route' ? 0 : 1;
}

type Stored =
  | { readonly kind: 'known'; readonly report: EntriesReport }
  | { readonly kind: 'unknown'; readonly why: string };

const TIMEOUT_MS = 3000;

/** Null where nothing is stored by this configuration. */
async function findStored(
  admin: AdminConfig,
  { url, verdict }: Explanation,
  fields: readonly string[],
): Promise<Stored | null> {
  if (verdict.kind !== 'route' || verdict.route.entry === null) return null;
  const query = new URLSearchParams({ url });
  for (let i = 0; i < fields.length; i += 2) query.append('header', `${fields[i]}: ${fields[i + 1]}`);
  const path = `/entries?${query.toString()}`;
  const answer = await askAdmin(admin, { method: 'GET', path, timeoutMs: TIMEOUT_MS });
  return answer.kind === 'ok'
    ? { kind: 'known', report: answer.value as EntriesReport }
    : { kind: 'unknown', why: answer.detail };
}

function textOf({ method, url, routes, verdict }: Explanation, stored: Stored | null): string {
  const lines = [`${method} ${url}`, '', 'Routes'];
  for (const { name, takes, why } of routes) lines.push(`${takes ? '>' : ' '} ${name}: ${why}`);
  switch (verdict.kind) {
    case 'route':
      lines.push('', ...routeLines(verdict.route), ...storedLines(stored));
      break;
    case 'no-route':
      lines.push('', 'No route takes this path: 404');
      break;
    case 'method-not-allowed':
      lines.push('', `No route takes this method: 405, with Allow: ${verdict.allow.join(', ')}`);
      break;
    default:
      verdict satisfies never;
  }
  return `${lines.join('\n')}\n`;
}

function routeLines({ origin, entry, policy, responses }: RouteExplanation): string[] {
  const lines = ['Origin', `  ${origin.name} (${origin.urls.join(', ')}), asked for ${origin.target}`];
  lines.push('Policy', ...policy.map((sentence) => `  ${sentence}`));
  if (entry === null) return lines;
  lines.push('Key', `  ${entry.key.split('\n').join(' ')}`);
  lines.push("Tags, beside the response's own", ...entry.tags.map((tag) => `  ${tag}`));
  lines.push('A response', ...responses.map(({ response, fate }) => `  ${response}: ${fate}`));
  return lines;
}

function storedLines(stored: Stored | null): string[] {
  if (stored === null) return [];
  if (stored.kind === 'unknown') return ['Stored', `  not known: ${stored.why}`];
  const { entries } = stored.report;
  return ['Stored', ...(entries.length === 0 ? ['  nothing'] : entries.map(entryLine))];
}

function entryLine({ id, status, age, freshFor, size, levels, usable, why }: EntryReport): string {
  const places = levels.length === 0 ? '' : `, in ${levels.join(' and ')}`;
  const state = usable ? 'usable' : 'not usable as it is';
  return `  ${id}: ${status}, ${size} B, ${age} s old, fresh for ${freshFor} s${places}; ${state}: ${why}`;
}
