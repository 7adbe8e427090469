/** Makes the tables of keys in `docs/configuration.md` from the JSON Schema. `npm run docs` writes them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { FEED_TYPES } from '../../origin-adapters/feeds/registry.ts';
import { jsonSchema, jsonSchemaText } from '../../policies/config/json-schema.ts';

interface Schema {
  readonly description?: string;
  readonly default?: unknown;
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly $ref?: string;
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | false;
}

interface Row {
  readonly key: string;
  readonly schema: Schema;
  readonly required: boolean;
}

const ROOT = join(import.meta.dirname, '../..');
const DOCUMENT = join(ROOT, 'docs/configuration.md');
const BEGIN = '<!-- The tables below are written by `npm run docs`. -->\n';

const whole = jsonSchema(FEED_TYPES) as Schema;

/** The document as it is, and as the schema requires it. */
export async function configurationDocument(): Promise<{ found: string; wanted: string }> {
  const found = readFileSync(DOCUMENT, 'utf8');
  const [head] = found.split(BEGIN);
  const options = await resolveConfig(DOCUMENT);
  const wanted = await format(`${head}${BEGIN}\n${tables()}`, { ...options, parser: 'markdown' });
  return { found, wanted };
}

function tables(): string {
  const { origins, feeds, defaults, routes, ...plain } = whole.properties!;
  const route = routes!.items!;
  const { cache, write, ...ofRoute } = route.properties!;
  const types = feedTypes(feeds!);
  const common = Object.keys(types[0]![1].properties!).filter((key) =>
    types.every(([, schema]) => Object.hasOwn(schema.properties!, key)),
  );
  const shared = common.filter((key) => key !== 'type' && key !== 'url');
  const feedRows = rowsOf(pick(types[0]![1], shared), '');
  const type = { enum: types.map(([name]) => name), description: 'Where changes come from.' };
  return [
    ...Object.entries(plain).map(([name, schema]) => section(name, schema.description, rowsOf(schema, ''))),
    section('origins.NAME', 'An origin. NAME is yours.', rowsOf(origins!.additionalProperties as Schema, '')),
    section('feeds.NAME', 'A feed. NAME is yours. These keys belong to every type.', [
      { key: 'type', schema: type, required: true },
      ...feedRows,
    ]),
    ...types.map(([name, schema]) =>
      section(
        `feeds.NAME with type: ${name}`,
        `[Its page](feeds/${name}.md) says more.`,
        rowsOf(without(schema, [...shared, 'type']), ''),
      ),
    ),
    section('defaults', defaults!.description, [
      {
        key: 'cache',
        schema: { type: 'object', description: 'Any key of `routes[].cache`.' },
        required: false,
      },
      {
        key: 'write',
        schema: { type: 'object', description: 'Any key of `routes[].write`.' },
        required: false,
      },
    ]),
    section('routes[]', routes!.description, rowsOf({ ...route, properties: ofRoute }, '')),
    section('routes[].cache', cache!.description, rowsOf(cache!, '')),
    section('routes[].write', write!.description, rowsOf(write!, '')),
  ].join('\n');
}

function feedTypes(feeds: Schema): [string, Schema][] {
  const one = feeds.additionalProperties as Schema;
  return one.anyOf!.map((schema) => [String(schema.properties!['type']!.const), schema]);
}

function pick(schema: Schema, keys: readonly string[]): Schema {
  const kept = Object.entries(schema.properties!).filter(([key]) => keys.includes(key));
  return { ...schema, properties: Object.fromEntries(kept) };
}

function without(schema: Schema, keys: readonly string[]): Schema {
  const kept = Object.keys(schema.properties!).filter((key) => !keys.includes(key));
  return pick(schema, kept);
}

function section(title: string, description: string | undefined, rows: readonly Row[]): string {
  const lines = rows.map(
    ({ key, schema, required }) =>
      `| \`${key}\` | ${cell(valueOf(schema))} | ${required ? 'required' : defaultOf(schema)} | ${cell(schema.description ?? '')} |`,
  );
  return `### ${title}\n\n${description ?? ''}\n\n| key | value | default | |\n|---|---|---|---|\n${lines.join('\n')}\n`;
}

/**
 * The rows of an object's members. An object with defaults has no row of its own, because leaving it out
 * changes nothing.
 */
function rowsOf(schema: Schema, path: string): Row[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, inner]): Row[] => {
    const key = `${path}${name}`;
    const members = membersOf(inner, key);
    const required = schema.required?.includes(name) ?? false;
    const isPlain = inner.type === 'object' && members.length > 0;
    const isImplied = isPlain && !required && isEmpty(inner.default);
    return isImplied ? members : [{ key, schema: inner, required }].concat(members);
  });
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

function membersOf(schema: Schema, key: string): Row[] {
  const { items, additionalProperties: named, anyOf = [] } = schema;
  return [
    ...rowsOf(schema, `${key}.`),
    ...(items === undefined ? [] : membersOf(items, `${key}[]`)),
    ...(named ? membersOf(named, `${key}.NAME`) : []),
    ...anyOf.flatMap((choice) => membersOf(choice, key)),
  ];
}

/** The schema's bound on numbers without another bound. */
const UNBOUNDED = 1_000_000_000;

const UNITS: Readonly<Record<string, string>> = {
  '^(\\d+(?:\\.\\d+)?)(B|KiB|MiB|GiB)$': 'size',
  '^(\\d+(?:\\.\\d+)?)(ms|s|m|h|d)$': 'duration',
};

function valueOf(schema: Schema): string {
  const { anyOf, type, pattern, items, minimum = 0, maximum = UNBOUNDED } = schema;
  if (anyOf !== undefined) {
    const choices = anyOf.filter(({ $ref }) => $ref === undefined).map(valueOf);
    const unit = choices.some((choice) => choice === 'size' || choice === 'duration');
    return [...new Set(choices)].filter((choice) => !unit || choice !== '`0`').join(', ');
  }
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${String(value)}\``).join(', ');
  if (schema.const !== undefined) return `\`${String(schema.const)}\``;
  if (pattern !== undefined && UNITS[pattern] !== undefined) return UNITS[pattern];
  if (type === 'array') return items?.enum === undefined ? 'list' : `list of ${valueOf(items)}`;
  if (type === 'integer') {
    return maximum < UNBOUNDED ? `${minimum} to ${maximum}` : `from ${minimum}`;
  }
  return { boolean: '`true`, `false`', string: 'text', object: 'map' }[type ?? ''] ?? '';
}

function defaultOf({ default: value }: Schema): string {
  if (value === undefined) return 'none';
  if (value === '') return 'empty';
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

/** A cell of a table in Markdown. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('*', '\\*').replaceAll('<', '\\<');
}

if (import.meta.main) {
  writeFileSync(DOCUMENT, (await configurationDocument()).wanted);
  writeFileSync(join(ROOT, 'proxy.config.schema.json'), jsonSchemaText(FEED_TYPES));
}
