/** The computations of `npm run bench -- --peers`. No server and no load is started. */
import { describe, expect, it } from 'vitest';
import { checkClaims, verdictOf } from '../../bench/peers/claims.ts';
import { threadMicros } from '../../bench/peers/contender.ts';
import { withPart } from '../../bench/peers/document.ts';
import { figuresOf, type Figures, type Round, type RowFigures } from '../../bench/peers/figures.ts';
import { figuresAsMarkdown } from '../../bench/peers/markdown.ts';
import { readPeersOptions } from '../../bench/peers/options.ts';
import { requestsIn } from '../../bench/peers/origin.ts';
import { selfMicros } from '../../bench/peers/profile.ts';
import { after, pathsOf } from '../../bench/peers/requests.ts';
import { ROWS } from '../../bench/peers/rows.ts';
import { readWrkOutput, wrkScript, type Requests } from '../../bench/peers/wrk.ts';

const NO_THREADS = new Map<string, number>();

const round = (microsPerRequest: number): Round => ({
  requestsPerSecond: 1e6 / microsPerRequest,
  p99Ms: microsPerRequest / 10,
  microsPerRequest,
  threadMicros: NO_THREADS,
});

/** A row with microseconds a request of each server. */
const row = (name: RowFigures['row'], micros: Readonly<Record<string, number>>): RowFigures => ({
  row: name,
  label: name,
  servers: Object.entries(micros).map(([title, value]) => figuresOf(title, [round(value)], [])),
  pacedPerSecond: null,
});

const figures = (rows: readonly RowFigures[], extras: Figures['extras'] = []): Figures => ({
  rows,
  extras,
  notes: [],
  doubts: [],
});

describe('options', () => {
  it('are all rows but the million, and all servers, by default', () => {
    const read = readPeersOptions(['--peers']);
    expect(read).toEqual({
      kind: 'ok',
      options: {
        rounds: 5,
        seconds: 4,
        rows: ROWS.filter((name) => name !== 'million'),
        servers: ['weir', 'nginx', 'varnish', 'haproxy', 'node'],
        paced: true,
        threads: false,
        check: false,
        write: false,
        profile: [],
        entries: 1_000_000,
      },
    });
  });

  it('name rows and servers in any order, and are put in the order of the table', () => {
    const read = readPeersOptions(['--peers', '--rows', 'miss,hit', '--servers', 'nginx,weir', '--no-paced']);
    expect(read).toMatchObject({
      options: { rows: ['hit', 'miss'], servers: ['weir', 'nginx'], paced: false },
    });
  });

  it('leave out rows of Weir alone if Weir is not among the servers', () => {
    const read = readPeersOptions(['--peers', '--rows', 'miss,loops', '--servers', 'nginx']);
    expect(read).toMatchObject({ options: { rows: ['miss'], servers: ['nginx'] } });
  });

  it.each([
    [['--rows', 'hit,none'], '--rows: no none'],
    [['--servers', 'squid'], '--servers: no squid'],
    [['--profile', 'loops'], '--profile: no loops'],
    [['--rounds', '0'], '--rounds: expected a whole number from 1, got 0'],
    [['--seconds', '1.5'], '--seconds: expected a whole number from 1, got 1.5'],
    [['--other'], '--other'],
  ])('%j is refused', (parameters, message) => {
    const read = readPeersOptions(['--peers', ...parameters]);
    expect(read).toMatchObject({ kind: 'wrong', message: expect.stringContaining(message) });
  });
});

describe('figures', () => {
  it('are the middle of the rounds and how far they lie apart', () => {
    const { microsPerRequest, pacedP99Ms } = figuresOf('Weir', [30, 10, 20].map(round), [3, 1, 2]);
    expect(microsPerRequest).toEqual({ value: 20, spread: [10, 30] });
    expect(pacedP99Ms).toEqual({ value: 2, spread: [1, 3] });
  });

  it('have the processor time of threads by their purpose', () => {
    const thread = (name: string, seconds: number, isFirst = false) => ({ name, isFirst, seconds });
    const before = new Map([
      [1, thread('MainThread', 1, true)],
      [2, thread('WorkerThread', 5)],
    ]);
    const later = new Map([
      [1, thread('MainThread', 2, true)],
      [2, thread('WorkerThread', 7)],
      [3, thread('MainThread', 0.5)],
      [4, thread('WorkerThread', 1)],
    ]);
    expect(threadMicros(before, later, 1_000_000)).toEqual(
      new Map([
        ['coordinator', 1],
        ['workers', 3],
        ['LMDB', 0.5],
      ]),
    );
  });

  it('of a profile are of samples within the window', () => {
    const frame = (functionName: string) => ({ functionName, url: '', lineNumber: 0 });
    const profile = {
      nodes: [
        { id: 1, callFrame: frame('early') },
        { id: 2, callFrame: frame('hot') },
        { id: 3, callFrame: frame('') },
      ],
      startTime: 1_000,
      samples: [1, 2, 3, 2, 1],
      timeDeltas: [0, 10, 20, 30, 40],
    };
    const micros = selfMicros(profile, { fromMicros: 1_005, toMicros: 1_065 });
    expect(micros).toEqual(
      new Map([
        ['hot', 60],
        ['(anonymous)', 30],
      ]),
    );
  });
});

describe('the check', () => {
  it.each([
    [0.99, { aim: 1, least: 1.25 }, 'reached'],
    [1.25, { aim: 1, least: 1.25 }, 'held'],
    [1.26, { aim: 1, least: 1.25 }, 'short'],
    [1.01, { aim: null, least: 1 }, 'short'],
    [1.5, { aim: 1.2, least: null }, 'missed'],
    [1.1, { aim: 1.2, least: null }, 'reached'],
    [null, { aim: 1, least: 1.25 }, 'open'],
  ] as const)('%j within %j is %s', (found, bounds, verdict) => {
    expect(verdictOf(found, bounds)).toBe(verdict);
  });

  const ratio = (row: string, label: string, rest: object): object => ({ row, label, unit: '×', ...rest });

  it('compares Weir with other servers, with its own other rows, and with plain bounds', () => {
    const found = checkClaims(
      figures(
        [
          row('hit-many', { Weir: 30, nginx: 20 }),
          row('disk-hit', { Weir: 39, nginx: 30 }),
          row('two-workers', { 'one worker': 100, 'two workers': 105 }),
        ],
        [
          { name: 'loop-p99', value: 7 },
          { name: 'loop-max', value: 51 },
        ],
      ),
    ).filter(({ verdict }) => verdict !== 'open');
    expect(found).toEqual([
      ratio('hit-many', 'memory hit, 5,000 URLs × nginx', {
        found: 1.5,
        aim: 1,
        least: 1.25,
        verdict: 'short',
      }),
      ratio('disk-hit', 'disk hit, 5,000 URLs of 1 KiB × nginx', {
        found: 1.3,
        aim: 1.2,
        least: 1.6,
        verdict: 'held',
      }),
      ratio('disk-hit', 'disk hit, 5,000 URLs of 1 KiB × memory hit of 5,000 URLs', {
        found: 1.3,
        aim: null,
        least: 1.5,
        verdict: 'held',
      }),
      ratio('two-workers', 'miss, two workers × one worker', {
        found: 1.05,
        aim: 1.1,
        least: 1.3,
        verdict: 'reached',
      }),
      {
        row: 'loops',
        label: 'event loops: 99th percentile of delays',
        unit: 'ms',
        found: 7,
        aim: 5,
        least: 10,
        verdict: 'held',
      },
      {
        row: 'loops',
        label: 'event loops: longest delay',
        unit: 'ms',
        found: 51,
        aim: 20,
        least: 50,
        verdict: 'short',
      },
    ]);
  });

  it('leaves a claim open if the other server is missing', () => {
    const [claim] = checkClaims(figures([row('hit', { Weir: 10 })]));
    expect(claim).toMatchObject({ label: 'memory hit, one URL × nginx', found: null, verdict: 'open' });
  });
});

describe('the tables', () => {
  const columns = [
    { title: 'Weir', version: '0.1.0' },
    { title: 'nginx', version: '1.22.1' },
    { title: 'Varnish', version: null },
    { title: 'HAProxy', version: '2.6' },
  ];
  const measured = figures([row('hit', { Weir: 20, nginx: 16 })]);
  const text = figuresAsMarkdown(measured, columns, checkClaims(measured), false);

  it('show a figure of each server, that it is not installed, or that the row does not include it', () => {
    expect(text).toContain('|  | Weir 0.1.0 | nginx 1.22.1 | Varnish | HAProxy 2.6 |');
    expect(text).toContain('| hit | 20.0 (20.0–20.0) | 16.0 (16.0–16.0) | not installed | – |');
  });

  it('show the figure, the aim and the least of each claim', () => {
    expect(text).toContain('| memory hit, one URL × nginx | 1.25 × | ≤ 1.00 × | ≤ 1.25 × | at the least |');
    expect(text).toContain('| miss, stored on disk × nginx | – | ≤ 1.00 × | ≤ 1.50 × | not measured |');
  });

  it('replace the part of the page between its marks', () => {
    const begin = '<!-- begin: npm run bench -- --peers --write -->';
    const end = '<!-- end -->';
    const page = `before\n\n${begin}\n\nold\n\n${end}\n\nnotes\n`;
    expect(withPart(page, 'new\n')).toBe(`before\n\n${begin}\n\nnew\n\n${end}\n\nnotes\n`);
    expect(() => withPart('no marks', 'new')).toThrow('no part between');
  });
});

describe('requests', () => {
  const many: Requests = { kind: 'in-turn', prefixes: ['/a/', '/b/'], from: 4, items: 6 };

  it('go through their numbers in turn', () => {
    expect(pathsOf(many, 4)).toEqual(['/a/4', '/b/5', '/a/0', '/b/1']);
    expect(pathsOf({ ...many, items: null }, 3)).toEqual(['/a/4', '/b/5', '/a/6']);
    expect(pathsOf(after({ ...many, items: null }, 3), 1)).toEqual(['/b/7']);
    expect(pathsOf(after({ kind: 'same', path: '/one' }, 3), 2)).toEqual(['/one', '/one']);
  });

  it('are a script of wrk', () => {
    const script = wrkScript({
      url: 'http://127.0.0.1:80',
      requests: many,
      fields: { 'If-None-Match': '"x"' },
    });
    expect(script).toContain(String.raw`" HTTP/1.1\r\nHost: 127.0.0.1\r\nIf-None-Match: \"x\"\r\n\r\n"`);
    expect(script).toContain('local starts = { "GET /a/", "GET /b/" }');
    expect(script).toContain('local at = 4');
    expect(script).toContain('local number = at % 6');
  });

  it('are counted by wrk and the origin', () => {
    const output = 'Running 1s test\n\nweir-bench-result 1000 2000000 1500 3\n';
    expect(readWrkOutput(output)).toEqual({ requests: 1000, seconds: 2, p99Ms: 1.5, failures: 3 });
    expect(() => readWrkOutput('unable to connect')).toThrow('wrk wrote no result');
    const status =
      'Active connections: 1 \nserver accepts handled requests\n 5 5 17 \nReading: 0 Writing: 1\n';
    expect(requestsIn(status)).toBe(17);
  });
});
