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
  const usualMs = usualDateMs(text);
  if (usualMs !== null) return usualMs;
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

/**
 * Parses an IMF-fixdate in the exact spelling of RFC 9110 §5.6.7, from the year 1000 on. Null: the text may be a date in
 * another spelling. Nearly all dates have this form, and regular expressions take twenty times as long.
 */
function usualDateMs(text: string): number | null {
  if (text.length !== USUAL_LENGTH || !text.endsWith(' GMT')) return null;
  if (!DAY_CODES.has(codeAt(text, 0)) || text.charCodeAt(3) !== COMMA) return null;
  const month = MONTH_CODES.get(codeAt(text, 8));
  const day = twoDigits(text, 5);
  const century = twoDigits(text, 12);
  const year = century * 100 + twoDigits(text, 14);
  const hour = twoDigits(text, 17);
  const minute = twoDigits(text, 20);
  const second = twoDigits(text, 23);
  // `twoDigits` returns NaN for other characters than digits, which makes each comparison false.
  if (month === undefined || !(century >= 10 && year >= 1000)) return null;
  if (!(day >= 1 && day <= 31 && hour <= 23 && minute <= 59 && second <= 59)) return null;
  for (const at of USUAL_SPACES) if (text.charCodeAt(at) !== SPACE) return null;
  for (const at of USUAL_COLONS) if (text.charCodeAt(at) !== COLON) return null;
  const timeMs = Date.UTC(year, month, day, hour, minute, second);
  return day <= 28 || new Date(timeMs).getUTCDate() === day ? timeMs : null;
}

const USUAL_LENGTH = 'Sun, 06 Nov 1994 08:49:37 GMT'.length;
const USUAL_SPACES = [4, 7, 11, 16];
const USUAL_COLONS = [19, 22];
const SPACE = 0x20;
const COMMA = 0x2c;
const COLON = 0x3a;
const DAY_CODES: ReadonlySet<number> = new Set(
  ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'].map((name) => codeAt(name, 0)),
);
const MONTH_CODES: ReadonlyMap<number, number> = new Map(
  MONTHS.map((name, index) => [codeAt(name[0]!.toUpperCase() + name.slice(1), 0), index]),
);

/** Three characters as one number; -1: one of them is above U+00FF. */
function codeAt(text: string, at: number): number {
  const [a, b, c] = [text.charCodeAt(at), text.charCodeAt(at + 1), text.charCodeAt(at + 2)];
  return (a | b | c) > 0xff ? -1 : (a << 16) | (b << 8) | c;
}

/** The number of two digits; NaN: they are not digits. */
function twoDigits(text: string, at: number): number {
  return digitAt(text, at) * 10 + digitAt(text, at + 1);
}

function digitAt(text: string, at: number): number {
  const digit = text.charCodeAt(at) - 0x30;
  return digit >= 0 && digit <= 9 ? digit : Number.NaN;
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
