import { describe, expect, it } from 'vitest';
import { formatHttpDate, parseHttpDate } from '../../../policies/http/dates.ts';

const DAY_MS = 86_400_000;

describe('a date in the spelling of RFC 9110 §5.6.7', () => {
  it('is read as the same date in another spelling', () => {
    for (let timeMs = Date.UTC(1000, 0, 1); timeMs < Date.UTC(2405, 0, 1); timeMs += 17.0137 * DAY_MS) {
      const text = formatHttpDate(timeMs);
      expect(parseHttpDate(text, 0), text).toBe(Math.floor(timeMs / 1000) * 1000);
      expect(parseHttpDate(text.toLowerCase(), 0), text).toBe(Math.floor(timeMs / 1000) * 1000);
    }
  });

  it.each([
    'Sat, 30 Feb 2026 11:06:13 GMT',
    'Sat, 31 Nov 2026 11:06:13 GMT',
    'Sat, 00 Nov 2026 11:06:13 GMT',
    'Sat, 28 Nov 2026 24:06:13 GMT',
    'Sat, 28 Nov 2026 11:60:13 GMT',
    'Sat, 28 Nov 2026 11:06:61 GMT',
    'Sat, 28 Nov 2026 11:06:1x GMT',
    'Sat, 28 Nov 2026 11-06-13 GMT',
    'Sat, 28 Nov 2026 11:06:13 UTC',
    'Sat  28 Nov 2026 11:06:13 GMT',
    'Sat,_28 Nov 2026 11:06:13 GMT',
    'Sxt, 28 Nov 2026 11:06:13 GMT',
    'Sat, 28 Nxv 2026 11:06:13 GMT',
    '\u0153at, 28 Nov 2026 11:06:13 GMT',
  ])('is invalid where a part is wrong: %s', (text) => {
    expect(parseHttpDate(text, 0)).toBeNull();
  });

  it('may be the last day of a long month, or a leap second', () => {
    expect(parseHttpDate('Thu, 29 Feb 2024 23:59:59 GMT', 0)).toBe(Date.UTC(2024, 1, 29, 23, 59, 59));
    expect(parseHttpDate('Sat, 31 Dec 2016 23:59:60 GMT', 0)).toBe(Date.UTC(2016, 11, 31, 23, 59, 59));
  });
});
