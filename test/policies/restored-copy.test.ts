import { describe, expect, it } from 'vitest';
import { decideDistrust, type DistrustQuestion } from '../../policies/restored-copy.ts';

const PLACES = { state: '1:2', marker: '1:3:4', link: '1:6:7', cache: '1:5' };
const UNLINKED = { ...PLACES, link: null };
const QUESTION: DistrustQuestion = {
  isAsked: false,
  written: PLACES,
  found: PLACES,
  lastTimeMs: 1_000_000,
  nowMs: 1_000_001,
};

describe('data of earlier runs', () => {
  it.each<[string, Partial<DistrustQuestion>, string, boolean?]>([
    ['unchanged places', {}, 'believed'],
    ['places that were never recorded', { written: null }, 'believed'],
    ['asked for', { isAsked: true }, 'asked', true],
    ['another file of the state', { found: { ...PLACES, state: '1:9' } }, 'state-copied', true],
    ['another device', { found: { ...PLACES, state: '2:2' } }, 'state-copied', true],
    ['a marker that was changed', { found: { ...PLACES, marker: '1:3:5' } }, 'marker-changed', false],
    ['a link that was recreated', { found: { ...PLACES, link: '1:6:8' } }, 'state-copied', true],
    ['no link', { found: UNLINKED }, 'state-copied', true],
    ['a link where there was none', { written: UNLINKED }, 'believed'],
    [
      'a marker that was changed, without links',
      { written: UNLINKED, found: { ...UNLINKED, marker: '1:3:5' } },
      'state-copied',
      true,
    ],
    ['no marker', { found: { ...PLACES, marker: null } }, 'state-copied', true],
    ['another cache', { found: { ...PLACES, cache: '1:9' } }, 'cache-copied', false],
    ['a cache that was deleted', { found: { ...PLACES, cache: null } }, 'believed'],
    ['a cache where there was none', { written: { ...PLACES, cache: null } }, 'believed'],
    ['a clock that was set back', { nowMs: 900_000 }, 'clock-set-back', false],
    ['a clock that was corrected slightly', { nowMs: 999_500 }, 'believed'],
  ])('is believed or distrusted with %s', (_, more, expected, writesToo) => {
    const decision = decideDistrust({ ...QUESTION, ...more });
    expect(decision).toEqual(
      expected === 'believed' ? { kind: 'believed' } : { kind: 'distrusted', why: expected, writesToo },
    );
  });
});
