/** `weir explain`: how a request is handled, and what a running Weir has stored for it. */
import { existsSync } from 'node:fs';
import type { Fields } from '../../policies/http/fields.ts';
import type { EntriesReport, EntryReport } from '../admin/dependencies.ts';
import { askAdmin, type Members } from './admin-client.ts';
import { namedTarget, NO_OPTIONS, targetOf, type AdminTarget } from './admin-target.ts';
import type { ExplainCommand } from './arguments.ts';
import { readConfigFile, type ConfigFile } from './config-file.ts';
import { printInvalid, printNoTarget, printFailure, type FailureOutput } from './failure.ts';
import { explain, type Explanation, type RouteExplanation } from './explanation.ts';
import type { Output } from './output.ts';

export interface ExplainOptions extends Omit<ConfigFile, 'file'> {
  readonly command: ExplainCommand;
  readonly stdout: Output;
  readonly stderr: Output;
}

/** Returns the exit code: 0 if a route matches the request, else 1. */
export async function runExplain({ command, stdout, stderr, ...source }: ExplainOptions): Promise<0 | 1> {
  const { file, json, method, url, place, fields, running = NO_OPTIONS } = command;
  const named = namedTarget(running, source.env);
  if (named?.kind === 'wrong') {
    printNoTarget('explain', named, { json, stdout, stderr });
    return 1;
  }
  if (named !== null && !running.isFileNamed && !existsSync(file)) {
    return showStored(named.target, { method, url, fields }, { json, stdout, stderr });
  }
  const loaded = await readConfigFile({ ...source, file });
  if (loaded.kind === 'invalid') {
    printInvalid(loaded.errors, { json, stdout, stderr });
    return 1;
  }
  const { config } = loaded;
  const isSecure = place.authority === null ? config.listen.tls !== null : /^https:/i.test(url);
  const explanation = explain(config, { method, place, fields, scheme: isSecure ? 'https' : 'http' });
  const target = named?.target ?? targetOf(config.admin, running, source.env);
  const stored = await findStored(target, explanation, fields);
  stdout.write(json ? `${JSON.stringify({ ...explanation, stored })}\n` : textOf(explanation, stored));
  return explanation.verdict.kind === 'route' ? 0 : 1;
}

/** Without a configuration, prints only what the running Weir reports. */
async function showStored(
  target: AdminTarget,
  { method, url, fields }: { readonly method: string; readonly url: string; readonly fields: Fields },
  output: FailureOutput,
): Promise<0 | 1> {
  const answer = await askAdmin(target, {
    method: 'GET',
    path: entriesPath(url, fields),
    timeoutMs: TIMEOUT_MS,
    answer: REPORT,
  });
  if (answer.kind !== 'ok') {
    printFailure('explain', answer, output);
    return 1;
  }
  const stored: Stored = { kind: 'known', report: answer.value as EntriesReport };
  const lines = [
    `${method} ${url}`,
    'Key',
    `  ${stored.report.key.split('\n').join(' ')}`,
    ...storedLines(stored),
  ];
  output.stdout.write(output.json ? `${JSON.stringify({ method, url, stored })}\n` : `${lines.join('\n')}\n`);
  return 0;
}

function entriesPath(url: string, fields: Fields): string {
  const query = new URLSearchParams({ url });
  for (let i = 0; i < fields.length; i += 2) query.append('header', `${fields[i]}: ${fields[i + 1]}`);
  return `/entries?${query.toString()}`;
}

type Stored =
  | { readonly kind: 'known'; readonly report: EntriesReport }
  | { readonly kind: 'unknown'; readonly why: string };

const TIMEOUT_MS = 3000;
const REPORT: Members = { key: 'string', entries: 'list' };

/** Null if the request does not use the cache under this configuration. */
async function findStored(
  target: AdminTarget,
  { url, verdict }: Explanation,
  fields: Fields,
): Promise<Stored | null> {
  if (verdict.kind !== 'route' || verdict.route.entry === null) return null;
  const path = entriesPath(url, fields);
  const answer = await askAdmin(target, { method: 'GET', path, timeoutMs: TIMEOUT_MS, answer: REPORT });
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
      lines.push('', 'No route matches this path: 404');
      break;
    case 'method-not-allowed':
      lines.push(
        '',
        `No route of this path accepts this method: 405, with Allow: ${verdict.allow.join(', ')}`,
      );
      break;
    default:
      verdict satisfies never;
  }
  return `${lines.join('\n')}\n`;
}

function routeLines({ origin, entry, policy, responses }: RouteExplanation): string[] {
  const lines = ['Origin', `  ${origin.name} (${origin.urls.join(', ')}), request target ${origin.target}`];
  lines.push('Policy', ...policy.map((sentence) => `  ${sentence}`));
  if (entry === null) return lines;
  lines.push('Key', `  ${entry.key.split('\n').join(' ')}`);
  lines.push('Tags, in addition to those of the response', ...entry.tags.map((tag) => `  ${tag}`));
  lines.push('Responses', ...responses.map(({ response, fate }) => `  ${response}: ${fate}`));
  return lines;
}

function storedLines(stored: Stored | null): string[] {
  if (stored === null) return [];
  if (stored.kind === 'unknown') return ['Stored', `  unknown: ${stored.why}`];
  const { entries } = stored.report;
  return ['Stored', ...(entries.length === 0 ? ['  nothing'] : entries.map(entryLine))];
}

function entryLine({ id, status, age, freshFor, size, levels, usable, why }: EntryReport): string {
  const places = levels.length === 0 ? '' : `, in ${levels.join(' and ')}`;
  const state = usable ? 'usable' : 'not usable without validation';
  return `  ${id}: ${status}, ${size} B, ${age} s old, fresh for ${freshFor} s${places}; ${state}: ${why}`;
}
