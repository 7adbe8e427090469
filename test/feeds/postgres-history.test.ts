import { describe, expect, it } from 'vitest';
import { decideHistory, decideMark } from '../../origin-adapters/feeds/postgres/history.ts';
import { decideStart, type ReplicationStanding } from '../../origin-adapters/feeds/postgres/server.ts';

const seen = { beginLsn: 100n, endLsn: 148n, xid: 734, atMicros: 848_000_000_000_000n };
const known = { lastCommit: seen, lsn: 500n, isProved: false };

describe('the history of a Postgres log', () => {
  it('is the same where the last commit is sent again', () => {
    expect(decideHistory(known, { kind: 'commit', commit: { ...seen } })).toBe('proved');
  });

  it.each([{ beginLsn: 108n }, { endLsn: 156n }, { xid: 735 }, { atMicros: 848_000_000_000_001n }])(
    'is another where a commit with $0 is in its place',
    (difference) => {
      const shown = { kind: 'commit', commit: { ...seen, ...difference } } as const;
      expect(decideHistory(known, shown)).toBe('other');
    },
  );

  it('is another where the stream passes the place without the commit, and unknown before', () => {
    expect(decideHistory(known, { kind: 'reached', lsn: 147n })).toBe('unknown');
    expect(decideHistory(known, null)).toBe('unknown');
    expect(decideHistory(known, { kind: 'reached', lsn: 148n })).toBe('other');
  });

  it('is another where an additional commit is sent', () => {
    const proved = { ...known, isProved: true };
    const later = { ...seen, beginLsn: 200n, endLsn: 500n };
    expect(decideHistory(proved, { kind: 'commit', commit: later })).toBe('other');
    expect(decideHistory(proved, { kind: 'commit', commit: { ...later, endLsn: 501n } })).toBe('same');
    expect(decideHistory(proved, { kind: 'reached', lsn: 300n })).toBe('same');
  });
});

describe('a mark in a Postgres log', () => {
  const last = { commit: seen, bytes: 10 };

  it('is left once where no commit was seen yet', () => {
    expect(decideMark(null, { endLsn: 500n, markLsn: null }, 1_000)).toBe(true);
    expect(decideMark(null, { endLsn: 900n, markLsn: 500n }, 1_000)).toBe(false);
  });

  it('is left where more of the log than the limit is after the last commit, or in it', () => {
    expect(decideMark(last, { endLsn: 1_090n, markLsn: null }, 1_000)).toBe(false);
    expect(decideMark(last, { endLsn: 1_091n, markLsn: null }, 1_000)).toBe(true);
    expect(decideMark({ ...last, bytes: 2_000 }, { endLsn: 148n, markLsn: null }, 1_000)).toBe(true);
  });

  it('is seen before another is left', () => {
    expect(decideMark(last, { endLsn: 9_000n, markLsn: 200n }, 1_000)).toBe(false);
    expect(decideMark(last, { endLsn: 9_000n, markLsn: 120n }, 1_000)).toBe(true);
  });
});

describe('the start of a Postgres feed', () => {
  const standing: ReplicationStanding = {
    system: '1',
    timeline: '1',
    publications: '16400',
    sendsMessages: true,
    insertLsn: 1_000n,
    confirmedLsn: 100n,
  };
  const after = { lsn: 500n, system: '1', timeline: '1', publications: '16400', commit: seen };

  it('resumes with the last commit that was seen', () => {
    expect(decideStart(after, standing)).toEqual({ kind: 'resume', lsn: 500n, commit: seen });
  });

  it.each([
    ['no commit', { ...after, publications: '', commit: null }, standing, /has no commit/],
    ['a recreated publication', after, { ...standing, publications: '16999' }, /publication was recreated/],
    ['a slot that has let the commit go', after, { ...standing, confirmedLsn: 101n }, /recreated or moved/],
    ['a log that ends before', after, { ...standing, insertLsn: 499n }, /ends before/],
  ] as const)('is a gap with %s', (_name, position, now, reason) => {
    const start = decideStart(position, now);
    expect(start.kind === 'gap' && start.reason).toMatch(reason);
  });
});
