/** Formats the figures as Markdown. */
import type { CheckedClaim } from './claims.ts';
import type { Figures, RowFigures, ServerFigures, Spread } from './figures.ts';
import { EXTRAS } from './figures.ts';

/** A column of the tables. */
export interface Column {
  readonly title: string;
  /** null: it is not installed. */
  readonly version: string | null;
}

const NOT_IN_ROW = '–';

export function figuresAsMarkdown(
  figures: Figures,
  columns: readonly Column[],
  claims: readonly CheckedClaim[],
  withThreads: boolean,
): string {
  const compared = figures.rows.filter(({ row }) => row !== 'two-workers');
  const parts: string[] = [];
  const perServer = (heading: string, cell: (server: ServerFigures) => string | null): void => {
    if (compared.length > 0) parts.push(`${heading}\n\n${serverTable(compared, columns, cell)}`);
  };
  perServer('Processor time in µs a request, the middle of the rounds (least to most):', (server) =>
    withSpread(server.microsPerRequest, 1),
  );
  perServer('Requests a second at saturation:', (server) => withSpread(server.requestsPerSecond, 0));
  perServer('99th percentile of latency at saturation, ms:', (server) => withSpread(server.p99Ms, 1));
  if (compared.some(({ pacedPerSecond }) => pacedPerSecond !== null))
    parts.push(pacedPart(compared, columns));
  const own = ownPart(figures);
  if (own !== null) parts.push(own);
  if (withThreads) parts.push(threadsPart(figures.rows));
  parts.push(claimsPart(claims));
  if (figures.notes.length > 0) parts.push(figures.notes.map((note) => `- ${note}`).join('\n'));
  if (figures.doubts.length > 0)
    parts.push(`Doubtful:\n\n${figures.doubts.map((doubt) => `- ${doubt}`).join('\n')}`);
  return `${parts.join('\n\n')}\n`;
}

function serverTable(
  rows: readonly RowFigures[],
  columns: readonly Column[],
  cell: (server: ServerFigures) => string | null,
): string {
  return markdownTable(
    ['', ...columns.map(({ title, version }) => (version === null ? title : `${title} ${version}`))],
    rows.map(({ label, servers }) => [
      label,
      ...columns.map(({ title, version }) => {
        if (version === null) return 'not installed';
        const server = servers.find((server) => server.title === title);
        return (server === undefined ? null : cell(server)) ?? NOT_IN_ROW;
      }),
    ]),
  );
}

function pacedPart(rows: readonly RowFigures[], columns: readonly Column[]): string {
  const labelled = rows.map((row) => ({ ...row, label: `${row.label}, ${row.pacedPerSecond}/s` }));
  return `99th percentile of latency at a fixed rate (half of what the slowest reached), server and load not pinned, ms:

${serverTable(labelled, columns, ({ pacedP99Ms }) => (pacedP99Ms === null ? null : withSpread(pacedP99Ms, 2)))}`;
}

function ownPart({ rows, extras }: Figures): string | null {
  const workers = rows.filter(({ row }) => row === 'two-workers');
  const lines = [
    ...workers.flatMap(({ label, servers }) =>
      servers.map(({ title, microsPerRequest }) => [
        `${label}, ${title}`,
        `${withSpread(microsPerRequest, 1)} µs`,
      ]),
    ),
    ...extras.map(({ name, value }) => [EXTRAS[name].label, `${short(value)} ${EXTRAS[name].unit}`]),
  ];
  return lines.length === 0 ? null : `Weir alone:\n\n${markdownTable(['', 'found'], lines)}`;
}

function threadsPart(rows: readonly RowFigures[]): string {
  const measured = rows.flatMap(({ label, row, servers }) =>
    servers
      .filter(({ threadMicros }) => threadMicros.size > 0)
      .map(({ title, threadMicros }) => ({
        label: row === 'two-workers' ? `${label}, ${title}` : label,
        threadMicros,
      })),
  );
  const names = Array.from(new Set(measured.flatMap(({ threadMicros }) => Array.from(threadMicros.keys()))));
  const shown = names.filter((name) =>
    measured.some(({ threadMicros }) => (threadMicros.get(name) ?? 0) >= 0.05),
  );
  const lines = measured.map(({ label, threadMicros }) =>
    [label].concat(shown.map((name) => (threadMicros.get(name) ?? 0).toFixed(1))),
  );
  return `Processor time of Weir by thread, µs a request:

${markdownTable(['', ...shown], lines)}`;
}

const VERDICTS = {
  reached: 'aim reached',
  held: 'at the least',
  short: '**short**',
  missed: 'aim missed',
  open: 'not measured',
} as const;

function claimsPart(claims: readonly CheckedClaim[]): string {
  return markdownTable(
    ['Weir', 'found', 'aim', 'at the least', ''],
    claims.map(({ label, found, aim, least, unit, verdict }) => {
      const amount = (value: number | null): string =>
        value === null ? NOT_IN_ROW : unit === '×' ? `${value.toFixed(2)} ×` : `${short(value)} ${unit}`;
      const bound = (value: number | null): string => (value === null ? NOT_IN_ROW : `≤ ${amount(value)}`);
      return [label, amount(found), bound(aim), bound(least), VERDICTS[verdict]];
    }),
  );
}

/** Aligns the first column to the left and the others to the right. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '--:'))), ...rows.map(line)].join('\n');
}

function withSpread({ value, spread: [least, most] }: Spread, digits: number): string {
  return `${value.toFixed(digits)} (${least.toFixed(digits)}–${most.toFixed(digits)})`;
}

function short(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(2);
}
