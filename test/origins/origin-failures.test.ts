import { describe, expect, it } from 'vitest';
import { BreakerOpen } from '../../origin-adapters/http/breaker.ts';
import { originFailure } from '../../origin-adapters/http/failure.ts';
import type { OriginFailure } from '../../origin-adapters/origin.ts';
import { logTo } from '../../proxy/observability/logger.ts';
import {
  FailureReports,
  type FailureReport,
  type OriginReports,
} from '../../proxy/origins/failure-reports.ts';
import { OriginCells, originCellsSource } from '../../proxy/origins/origin-cells.ts';
import { OriginFailures, SUMMARY_MS } from '../../proxy/origins/origin-failures.ts';

const URLS = ['http://a.internal:1', 'http://b.internal:2'];

function given() {
  const lines: Record<string, unknown>[] = [];
  const cells = new OriginCells(originCellsSource(['shop'], null));
  let nowMs = 1000;
  const failures = new OriginFailures({
    clock: { monotonicMs: () => nowMs },
    log: logTo({ write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) }, 'info', 'test'),
    cells: () => cells,
    urlsOf: (origin) => (origin === 'shop' ? URLS : []),
  });
  return {
    failures,
    cells,
    lines,
    fail: (more: Partial<FailureReport> = {}) =>
      failures.take({ failures: [{ ...REFUSED, atMs: (nowMs += 1), ...more }], answered: [] }),
    answer: (url = 0) =>
      failures.take({ failures: [], answered: [{ origin: 'shop', url, atMs: (nowMs += 1) }] }),
    minutes: (count: number) => {
      for (let i = 0; i < count; i += 1) {
        nowMs += SUMMARY_MS;
        failures.summarise();
      }
    },
  };
}

const CLOCK = { monotonicMs: () => 0 };

const REFUSED: FailureReport = {
  origin: 'shop',
  url: 0,
  kind: 'connection_refused',
  isBreakerOpen: false,
  count: 1,
  atMs: 0,
  message: 'the origin refused the connection (ECONNREFUSED)',
  cause: 'connect ECONNREFUSED 10.0.0.7:1',
};

describe('failures of an origin', () => {
  it('are logged at once the first time, with cause and remedy, and then counted every minute', () => {
    const { fail, minutes, lines } = given();
    fail();
    for (let i = 0; i < 50; i += 1) fail({ count: 2 });
    expect(lines).toMatchObject([
      {
        level: 'warn',
        event: 'origin-failed',
        origin: 'shop',
        url: URLS[0],
        failure: 'connection_refused',
        reason: REFUSED.message,
        cause: REFUSED.cause,
        advice: expect.stringContaining('check that the origin runs'),
      },
    ]);
    minutes(1);
    expect(lines.slice(1)).toMatchObject([
      { event: 'origin-failing', origin: 'shop', failures: { connection_refused: 100 } },
    ]);
    minutes(1);
    expect(lines).toHaveLength(2);
  });

  it('are logged at once for each kind and each URL', () => {
    const { fail, lines } = given();
    fail();
    fail({ url: 1 });
    fail({ kind: 'http_response_timeout' });
    fail({ kind: 'destination_unavailable', isBreakerOpen: true, url: null });
    fail({ kind: 'connection_limit_reached', url: null });
    expect(lines.map(({ url, failure }) => [url, failure])).toEqual([
      [URLS[0], 'connection_refused'],
      [URLS[1], 'connection_refused'],
      [URLS[0], 'http_response_timeout'],
      [null, 'breaker_open'],
      [null, 'connection_limit_reached'],
    ]);
  });

  it('end with a log line, however often an origin alternates within a minute', () => {
    const { fail, answer, minutes, lines, cells } = given();
    for (let i = 0; i < 20; i += 1) {
      fail();
      expect(cells.isFailing('shop', 0)).toBe(true);
      answer();
      expect(cells.isFailing('shop', 0)).toBe(false);
    }
    expect(lines.map(({ event }) => event)).toEqual(['origin-failed', 'origin-recovered']);
    minutes(1);
    expect(lines.at(-1)).toMatchObject({ event: 'origin-failing', failures: { connection_refused: 19 } });
    minutes(2);
    fail();
    expect(lines.at(-1)).toMatchObject({ event: 'origin-failed' });
  });

  it('that are reported late do not affect an origin that has answered since', () => {
    const { fail, answer, failures, lines } = given();
    fail();
    answer();
    fail({ atMs: 1000, kind: 'http_response_timeout' });
    expect(failures.problems()).toEqual([]);
    expect(lines.map(({ event }) => event)).toEqual(['origin-failed', 'origin-recovered', 'origin-failed']);
  });

  it('are shown as a problem without addresses, until the origin answers or is not asked for long', () => {
    const { fail, answer, minutes, failures, cells } = given();
    fail();
    expect(failures.problems()).toEqual([
      expect.stringMatching(
        /^the origin shop fails: the origin refused the connection \(ECONNREFUSED\); check/,
      ),
    ]);
    expect(failures.problems().join()).not.toMatch(/internal|10\.0\.0/);
    answer();
    expect(failures.problems()).toEqual([]);
    fail();
    minutes(6);
    expect(failures.problems()).toEqual([]);
    expect(cells.isFailing('shop', 0)).toBe(false);
  });
});

describe("a thread's reports", () => {
  const refused = (): OriginFailure =>
    originFailure('connection_refused', 'refused', false, new Error('connect\n ECONNREFUSED'));

  it('are sent at once, and collected while more follow', () => {
    const sent: OriginReports[] = [];
    const cells = new OriginCells(originCellsSource(['shop'], null));
    const observer = new FailureReports(CLOCK, (reports) => sent.push(reports)).observerOf('shop', cells);
    for (let i = 0; i < 1000; i += 1) observer.failed(0, refused());
    expect(sent).toEqual([
      { failures: [{ ...REFUSED, message: 'refused', cause: 'connect ECONNREFUSED' }], answered: [] },
    ]);
  });

  it('include responses only where the origin fails, whichever thread saw the failure', () => {
    const sent: OriginReports[] = [];
    const source = originCellsSource(['shop'], null);
    const observer = new FailureReports(CLOCK, (reports) => sent.push(reports)).observerOf(
      'shop',
      new OriginCells(source),
    );
    observer.answered(1, 200);
    expect(sent).toEqual([]);
    new OriginCells(source).setFailing('shop', 1, true);
    observer.answered(1, 200);
    expect(sent).toEqual([{ failures: [], answered: [{ origin: 'shop', url: 1, atMs: 0 }] }]);
  });

  it.each([502, 503, 504])('include a response %i as a failure of the origin', (status) => {
    const sent: OriginReports[] = [];
    const cells = new OriginCells(originCellsSource(['shop'], null));
    const observer = new FailureReports(CLOCK, (reports) => sent.push(reports)).observerOf('shop', cells);
    observer.answered(0, status);
    expect(sent).toEqual([
      {
        failures: [
          expect.objectContaining({
            url: 0,
            kind: `answered_${status}`,
            message: `the origin answered ${status}`,
          }),
        ],
        answered: [],
      },
    ]);
  });

  it.each([500, 501, 404])('do not include a response %i, which is about the request', (status) => {
    const sent: OriginReports[] = [];
    const cells = new OriginCells(originCellsSource(['shop'], null));
    new FailureReports(CLOCK, (reports) => sent.push(reports)).observerOf('shop', cells).answered(0, status);
    expect(sent).toEqual([]);
  });

  it('distinguish an open breaker from an origin that is unreachable', () => {
    const sent: OriginReports[] = [];
    const cells = new OriginCells(originCellsSource(['shop'], null));
    const observer = new FailureReports(CLOCK, (reports) => sent.push(reports)).observerOf('shop', cells);
    observer.failed(null, originFailure('destination_unavailable', 'left alone', false, new BreakerOpen()));
    expect(sent[0]!.failures).toMatchObject([{ url: null, isBreakerOpen: true }]);
  });
});
