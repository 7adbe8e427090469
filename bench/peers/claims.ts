/** The bounds of Weir's figures: an aim, and the least that is accepted. */
import { EXTRAS, type ExtraName, type Figures, type RowFigures } from './figures.ts';
import { COMPARED, type ComparedRowName, type RowName } from './rows.ts';

/** The processor time a request of a server in a row. */
interface Cost {
  readonly row: RowFigures['row'];
  readonly title: string;
}

export type Claim =
  | {
      readonly kind: 'ratio';
      readonly label: string;
      readonly of: Cost;
      readonly to: Cost;
      /** null: there is no bound of this kind. */
      readonly aim: number | null;
      readonly least: number | null;
    }
  | {
      readonly kind: 'most';
      readonly row: RowName;
      readonly extra: ExtraName;
      readonly aim: number;
      readonly least: number;
    };

const cost = (row: RowFigures['row'], title = 'Weir'): Cost => ({ row, title });

/** Compares Weir with another server in the same row. */
function against(row: ComparedRowName, title: string, aim: number | null, least: number | null): Claim {
  return { kind: 'ratio', label: `× ${title}`, of: cost(row), to: cost(row, title), aim, least };
}

/** Compares two rows of Weir. */
function besideRow(row: ComparedRowName, to: ComparedRowName, label: string, bounds: Bounds): Claim {
  return { kind: 'ratio', label, of: cost(row), to: cost(to), ...bounds };
}

type Bounds = { readonly aim: number | null; readonly least: number | null };

export const TWO_WORKERS_LABEL = 'miss, two workers';
export const WORKERS = { one: 'one worker', two: 'two workers' } as const;

export const CLAIMS: readonly Claim[] = [
  against('hit', 'nginx', 1, 1.25),
  against('hit-many', 'nginx', 1, 1.25),
  against('not-modified', 'nginx', 1.4, 1.6),
  against('hit-64k', 'nginx', 1.2, null),
  against('hit-64k', 'Varnish', null, 1),
  against('disk-hit', 'nginx', 1.2, 1.6),
  besideRow('disk-hit', 'hit-many', '× memory hit of 5,000 URLs', { aim: null, least: 1.5 }),
  besideRow('disk-hit-64k', 'hit-64k', '× memory hit of 64 KiB', { aim: 2, least: 3 }),
  against('pass', 'Varnish', 0.6, 0.8),
  against('miss', 'nginx', 1, 1.5),
  {
    kind: 'ratio',
    label: `× ${WORKERS.one}`,
    of: cost('two-workers', WORKERS.two),
    to: cost('two-workers', WORKERS.one),
    aim: 1.1,
    least: 1.3,
  },
  { kind: 'most', row: 'loops', extra: 'loop-p99', aim: 5, least: 10 },
  { kind: 'most', row: 'loops', extra: 'loop-max', aim: 20, least: 50 },
  { kind: 'most', row: 'million', extra: 'million-ready', aim: 3, least: 5 },
  { kind: 'most', row: 'million', extra: 'million-memory', aim: 300, least: 400 },
];

/**
 * `reached`: within the aim; `held`: within the least; `short`: within neither; `missed`: beyond the aim, without a least;
 * `open`: not measured.
 */
export type Verdict = 'reached' | 'held' | 'short' | 'missed' | 'open';

export interface CheckedClaim {
  readonly row: RowName;
  readonly label: string;
  /** null: not measured. */
  readonly found: number | null;
  readonly aim: number | null;
  readonly least: number | null;
  /** `×`: a ratio. */
  readonly unit: string;
  readonly verdict: Verdict;
}

export function checkClaims(figures: Figures): readonly CheckedClaim[] {
  return CLAIMS.map((claim) => {
    const { aim, least } = claim;
    const found = foundOf(claim, figures);
    const verdict = verdictOf(found, { aim, least });
    if (claim.kind === 'most') {
      const { label, unit } = EXTRAS[claim.extra];
      return { row: claim.row, label, found, aim, least, unit, verdict };
    }
    const { row } = claim.of;
    const label = row === 'two-workers' ? TWO_WORKERS_LABEL : COMPARED[row].label;
    return { row, label: `${label} ${claim.label}`, found, aim, least, unit: '×', verdict };
  });
}

/** A claim that has only an aim cannot fall short: another claim has the least of the same figure. */
export function verdictOf(found: number | null, { aim, least }: Bounds): Verdict {
  if (found === null) return 'open';
  if (aim !== null && found <= aim) return 'reached';
  if (least === null) return 'missed';
  if (found <= least) return 'held';
  return 'short';
}

function foundOf(claim: Claim, { rows, extras }: Figures): number | null {
  if (claim.kind === 'most') return extras.find(({ name }) => name === claim.extra)?.value ?? null;
  const micros = ({ row, title }: Cost): number | null =>
    rows.find((figures) => figures.row === row)?.servers.find((server) => server.title === title)
      ?.microsPerRequest.value ?? null;
  const [of, to] = [micros(claim.of), micros(claim.to)];
  return of === null || to === null ? null : of / to;
}
