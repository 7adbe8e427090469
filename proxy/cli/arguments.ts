/** Parses the command line. An error is a value, printed with the usage. */
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { trimmed, type Fields } from '../../policies/http/fields.ts';
import { parseUrlPlace, type UrlPlace } from '../../policies/url-place.ts';
import { ADMIN_URL, readAdminUrl, type RunningOptions } from './admin-target.ts';
import type { PurgeRequest } from '../admin/purge-request.ts';
import { isJournalSection, LIST_LIMIT } from '../writes/journal/tables.ts';
import { isCommand, type CommandName } from './usage.ts';

export type Command =
  | { readonly kind: 'serve'; readonly file: string; readonly distrust: boolean }
  | { readonly kind: 'check'; readonly file: string; readonly json: boolean }
  | ExplainCommand
  | ExplainEventCommand
  | PurgeCommand
  | WritesCommand
  | ReloadCommand
  | StopCommand
  | { readonly kind: 'schema' }
  | { readonly kind: 'version' }
  | { readonly kind: 'help'; readonly command: CommandName | null }
  | { readonly kind: 'wrong'; readonly command: CommandName | null; readonly message: string };

/** A command that talks to a running Weir. */
export interface AdminCommand {
  readonly file: string;
  /** Absent if the command line has no such option. */
  readonly running?: RunningOptions;
}

export interface ReloadCommand extends AdminCommand {
  readonly kind: 'reload';
  readonly json: boolean;
}

export interface StopCommand extends AdminCommand {
  readonly kind: 'stop';
  readonly json: boolean;
}

export interface ExplainCommand extends AdminCommand {
  readonly kind: 'explain';
  readonly json: boolean;
  /** In upper case. */
  readonly method: string;
  /** As written. */
  readonly url: string;
  readonly place: UrlPlace;
  readonly fields: Fields;
}

export interface ExplainEventCommand {
  readonly kind: 'explain-event';
  readonly file: string;
  readonly json: boolean;
  /** The file that holds the message. */
  readonly event: string;
  /** Null selects the only feed. */
  readonly feed: string | null;
  /** The headers of the message. */
  readonly fields: Fields;
}

export interface PurgeCommand extends AdminCommand {
  readonly kind: 'purge';
  readonly json: boolean;
  readonly request: PurgeRequest;
}

export interface WritesCommand extends AdminCommand {
  readonly kind: 'writes';
  readonly json: boolean;
  readonly action:
    | {
        readonly kind: 'list';
        readonly state: string;
        readonly limit: string;
        readonly after: string | null;
      }
    | { readonly kind: 'show' | 'retry' | 'discard'; readonly ids: readonly string[] };
}

export const DEFAULT_FILE = 'proxy.config.yaml';

/** `argv` without the program and the script. */
export function readArguments(argv: readonly string[]): Command {
  const [first, ...rest] = argv;
  if (first === undefined) return { kind: 'wrong', command: null, message: 'expected a command' };
  if (first === '--help' || first === '-h' || first === 'help') return { kind: 'help', command: null };
  if (first === '--version') return { kind: 'version' };
  if (!isCommand(first)) {
    return { kind: 'wrong', command: null, message: `expected a command, got ${JSON.stringify(first)}` };
  }
  try {
    return READERS[first](rest);
  } catch (error) {
    if (!isParseError(error)) throw error;
    // The rest of the message explains positional arguments that begin with a hyphen, which do not apply here.
    return { kind: 'wrong', command: first, message: error.message.split('. ', 1)[0]! };
  }
}

const HELP = { help: { type: 'boolean', short: 'h', default: false } } as const;
const CONFIG = { config: { type: 'string', default: DEFAULT_FILE }, ...HELP } as const;
const CONFIG_AND_JSON = { json: { type: 'boolean', default: false }, ...CONFIG } as const;
/**
 * Options of every command that talks to a running Weir. `config` has no default, because a given one outranks
 * `WEIR_ADMIN`.
 */
const RUNNING = {
  json: { type: 'boolean', default: false },
  config: { type: 'string' },
  admin: { type: 'string' },
  token: { type: 'string' },
  ...HELP,
} as const;
const LIST = { type: 'string', multiple: true, default: [] as string[] } as const;
const FLAG = { type: 'boolean', default: false } as const;

const READERS: Readonly<Record<CommandName, (args: string[]) => Command>> = {
  serve(args) {
    const { values } = read(args, { distrust: FLAG, ...CONFIG }, false);
    return values.help ? helpOn('serve') : { kind: 'serve', file: values.config, distrust: values.distrust };
  },
  check(args) {
    const { values } = read(args, CONFIG_AND_JSON, false);
    return values.help ? helpOn('check') : { kind: 'check', file: values.config, json: values.json };
  },
  explain: readExplain,
  purge: readPurge,
  writes: readWrites,
  reload: (args) => readControl('reload', args),
  stop: (args) => readControl('stop', args),
  schema(args) {
    const { values } = read(args, CONFIG_AND_JSON, false);
    return values.help ? helpOn('schema') : { kind: 'schema' };
  },
};

interface RunningValues {
  readonly config?: string;
  readonly admin?: string;
  readonly token?: string;
  readonly json: boolean;
}

/** The properties that all commands to a running Weir share. */
function adminCommand({ config, admin, token, json }: RunningValues) {
  const url = admin === undefined ? null : readAdminUrl(admin);
  const isGiven = config !== undefined || admin !== undefined || token !== undefined;
  const running = { admin: url, token: token ?? null, isFileNamed: config !== undefined };
  const message = admin !== undefined && url === null ? `${ADMIN_URL}, got ${JSON.stringify(admin)}` : null;
  return { common: { file: config ?? DEFAULT_FILE, json, ...(isGiven ? { running } : {}) }, message };
}

function readControl(kind: 'reload' | 'stop', args: string[]): Command {
  const { values } = read(args, RUNNING, false);
  if (values.help) return helpOn(kind);
  const { common, message } = adminCommand(values);
  return message === null ? { kind, ...common } : wrong(kind, message);
}

function readExplain(args: string[]): Command {
  const own = {
    header: { ...LIST, short: 'H' },
    event: { type: 'string' },
    feed: { type: 'string' },
  } as const;
  const { values, positionals } = read(args, { ...RUNNING, ...own }, true);
  if (values.help) return helpOn('explain');
  const { common, message } = adminCommand(values);
  if (message !== null) return wrong('explain', message);
  const lines = values.header.map((line) => FIELD_LINE.exec(line));
  const bad = lines.indexOf(null);
  if (bad >= 0) {
    return wrong('explain', `expected 'NAME: VALUE', got ${JSON.stringify(values.header[bad])}`);
  }
  const fields = lines.flatMap((line) => [line![1]!, trimmed(line![2]!)]);
  const { file, json } = common;
  const { event, feed = null } = values;
  if (event !== undefined) {
    return positionals.length === 0
      ? { kind: 'explain-event', file, json, event, feed, fields }
      : wrong('explain', 'expected METHOD and URL or --event, got both');
  }
  if (feed !== null) return wrong('explain', 'expected --event with --feed, got none');
  const [method, url] = positionals;
  if (method === undefined || url === undefined || positionals.length > 2) {
    return wrong('explain', `expected METHOD and URL, got ${positionals.length} arguments`);
  }
  if (!TOKEN.test(method)) return wrong('explain', `expected a method, got ${JSON.stringify(method)}`);
  const place = parseUrlPlace(url);
  if (place === null) {
    return wrong('explain', `expected a path or an absolute http(s) URL, got ${JSON.stringify(url)}`);
  }
  return { kind: 'explain', ...common, method: method.toUpperCase(), url, place, fields };
}

function readPurge(args: string[]): Command {
  const options = {
    ...RUNNING,
    url: LIST,
    tag: LIST,
    prefix: LIST,
    host: LIST,
    route: LIST,
    all: FLAG,
    soft: FLAG,
    'dry-run': FLAG,
  } as const;
  const { values } = read(args, options, false);
  if (values.help) return helpOn('purge');
  const { common, message } = adminCommand(values);
  if (message !== null) return wrong('purge', message);
  const { url, tag, prefix, host, route, all } = values;
  if (!all && [url, tag, prefix, host, route].every((names) => names.length === 0)) {
    return wrong('purge', 'expected what to purge: --url, --tag, --prefix, --host, --route or --all');
  }
  const mode = values.soft ? 'soft' : 'hard';
  const selection = { urls: url, tags: tag, prefixes: prefix, hosts: host, routes: route, all };
  const request = { ...selection, mode, dryRun: values['dry-run'] } as const;
  return { kind: 'purge', ...common, request };
}

function readWrites(args: string[]): Command {
  const options = {
    ...RUNNING,
    state: { type: 'string', default: 'dead' },
    limit: { type: 'string', default: '100' },
    after: { type: 'string' },
  } as const;
  const { values, positionals } = read(args, options, true);
  if (values.help) return helpOn('writes');
  const [kind, ...ids] = positionals;
  const { common, message } = adminCommand(values);
  if (message !== null) return wrong('writes', message);
  const { state, limit, after = null } = values;
  switch (kind) {
    case 'list':
      if (ids.length > 0) return wrong('writes', `expected nothing after list, got ${ids.join(' ')}`);
      if (!isJournalSection(state)) return wrong('writes', `expected waiting, dead or done, got ${state}`);
      if (!LIST_LIMIT.test(limit)) return wrong('writes', `expected a number from 1 to 9999, got ${limit}`);
      return { kind: 'writes', ...common, action: { kind, state, limit, after } };
    case 'show':
    case 'retry':
    case 'discard':
      if (ids.length === 0) return wrong('writes', `expected the id of a write after ${kind}`);
      return { kind: 'writes', ...common, action: { kind, ids } };
    default:
      return wrong('writes', `expected list, show, retry or discard, got ${kind ?? 'nothing'}`);
  }
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** RFC 9112 §5. */
const FIELD_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):(.*)$/;

function read<Options extends NonNullable<ParseArgsConfig['options']>>(
  args: string[],
  options: Options,
  allowPositionals: boolean,
) {
  return parseArgs({ args, options, allowPositionals, strict: true });
}

function helpOn(command: CommandName): Command {
  return { kind: 'help', command };
}

function wrong(command: CommandName, message: string): Command {
  return { kind: 'wrong', command, message };
}

function isParseError(error: unknown): error is Error {
  return error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS_');
}
