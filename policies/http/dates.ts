/** RFC 9110 §5.6.7: HTTP-date in its three forms, case-insensitive as RFC 9111 §4.2 requires of caches. */
import { trimmed } from './fields.ts';

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const SHORT_DAY = '(?:mon|tue|wed|thu|fri|sat|sun)';
const LONG_DAY = '(?:mon|tues|wednes|thurs|fri|satur|sun)day';
const MONTH = `(${MONTHS.join('|')})`;
const CLOCK = '(\\d{2}):(\\d{2}):(\\d{2})';
const IMF_FIXDATE = new RegExp(`^${SHORT_DAY}, (\\d{2}) ${MONTH} (\\d{4}) ${CLOCK} gmt$`);
const RFC_850 = new RegExp(`^${LONG_DAY}, (\\d{2})-${MONTH}-(\\d{2}) ${CLOCK} gmt$`);
const ASCTIME = new RegExp(`^${SHORT_DAY} ${MONTH} ([ \\d]\\d) ${CLOCK} (\\d{4})$`);
const LONGEST_DATE = 40;
const YEARS_AHEAD = 50;

/**
 * Milliseconds since 1970; null where the text is not an HTTP-date or its zone is not GMT. `nowMs` decides the
 * century of a two-digit year: a date more than 50 years ahead is in the past (RFC 9110 §5.6.7).
 */
export function parseHttpDate(text: string, nowMs: number): number | null {
  if (text.length > LONGEST_DATE) return null;
  const lower = trimmed(text).toLowerCase();
  const imf = IMF_FIXDATE.exec(lower);
  if (imf) return utc(imf[3]!, imf[2]!, imf[1]!, imf.slice(4));
  const asctime = ASCTIME.exec(lower);
  if (asctime) return utc(asctime[6]!, asctime[1]!, asctime[2]!, asctime.slice(3, 6));
  const rfc850 = RFC_850.exec(lower);
  if (rfc850) return utc(fullYear(rfc850[3]!, nowMs), rfc850[2]!, rfc850[1]!, rfc850.slice(4));
  return null;
}

/** IMF-fixdate; fractions of a second are dropped. */
export function formatHttpDate(timeMs: number): string {
  return new Date(timeMs).toUTCString();
}

function fullYear(twoDigits: string, nowMs: number): string {
  const thisYear = new Date(nowMs).getUTCFullYear();
  const year = Math.floor(thisYear / 100) * 100 + Number(twoDigits);
  return String(year > thisYear + YEARS_AHEAD ? year - 100 : year);
}

function utc(year: string, month: string, day: string, clock: readonly string[]): number | null {
  const [hour, minute, second] = clock.map(Number) as [number, number, number];
  const dayOfMonth = Number(day);
  // RFC 9110 allows a leap second. It counts as the second before it, never as a later one.
  const timeMs = Date.UTC(2000, MONTHS.indexOf(month), dayOfMonth, hour, minute, Math.min(second, 59));
  const date = new Date(timeMs);
  date.setUTCFullYear(Number(year), MONTHS.indexOf(month), dayOfMonth);
  const valid = dayOfMonth >= 1 && hour <= 23 && minute <= 59 && second <= 60;
  return valid && date.getUTCDate() === dayOfMonth ? date.getTime() : null;
}
