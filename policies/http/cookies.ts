/**
 * Cookies by name, where every origin reads the same ones. Parsers differ in what they make of quotes, commas, repeated
 * names, white space, `$Version`, pairs without a name and attributes' names (RFC 6265 §4.1.1 allows none of them; RFC
 * 2109 had most), so a field that holds any of these tells two origins two things.
 */
import { fieldValues, type Fields } from './fields.ts';

export type CookieReading =
  /** The values of the cookies that were looked for, as sent. */
  | { readonly kind: 'read'; readonly values: ReadonlyMap<string, string> }
  /** Some parser may find one of the names with another value, or none. */
  | { readonly kind: 'ambiguous' };

export function readCookies(fields: Fields, names: readonly string[]): CookieReading {
  if (names.length === 0) return NOTHING;
  const sent = fieldValues(fields, 'cookie');
  if (sent.length === 0) return NOTHING;
  const forms = names.map(cookieForm);
  // Where a name stands nowhere, no parser finds it.
  const whole = cookieForm(sent.join(';'));
  if (!forms.some((form) => whole.includes(form))) return NOTHING;
  const pairs = sent[0]!.split(SEPARATOR);
  if (sent.length > 1 || pairs.length > MOST_COOKIES) return AMBIGUOUS;
  const values = new Map<string, string>();
  for (const pair of pairs) {
    const [, name, value] = COOKIE_PAIR.exec(pair) ?? [];
    if (name === undefined || value === undefined || ATTRIBUTES.has(name.toLowerCase())) return AMBIGUOUS;
    const form = cookieForm(name);
    if (!forms.includes(form)) {
      // Parsers that decode a name also drop white space before it and end it at a NUL: `+NAME`, `%20NAME`, `NAME%00`.
      if (/[%+]/.test(name) && forms.some((wanted) => form.includes(wanted))) return AMBIGUOUS;
      continue;
    }
    if (!names.includes(name) || values.has(name)) return AMBIGUOUS;
    values.set(name, value);
  }
  return { kind: 'read', values };
}

/** Several Cookie fields as one, as RFC 9113 §8.2.3 joins them: origins differ in which of several they read. */
export function withOneCookie(fields: Fields): Fields {
  const values = fieldValues(fields, 'cookie');
  if (values.length < 2) return fields;
  const joined: string[] = [];
  let isJoined = false;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i]!.toLowerCase() !== 'cookie') joined.push(fields[i]!, fields[i + 1]!);
    else if (!isJoined) {
      isJoined = true;
      joined.push(fields[i]!, values.join('; '));
    }
  }
  return joined;
}

const NOTHING: CookieReading = { kind: 'read', values: new Map() };
const AMBIGUOUS: CookieReading = { kind: 'ambiguous' };

/** Servers that bound the number of cookies (Tomcat, PHP, Go) ignore or refuse those beyond; browsers keep no more. */
const MOST_COOKIES = 180;

/** The space is the specification's; many clients leave it out, and every parser skips it. */
const SEPARATOR = /; */;

/** RFC 6265 §4.1.1: a token that is no attribute of RFC 2109, and cookie-octets, perhaps in one pair of quotes. */
const COOKIE_PAIR =
  /^([!#%&'*+\-.^_`|~0-9A-Za-z][!#$%&'*+\-.^_`|~0-9A-Za-z]*)=([\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*|"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")$/;

/** Parsers that know cookies' attributes take these for such. */
const ATTRIBUTES: ReadonlySet<string> = new Set([
  'comment',
  'domain',
  'expires',
  'httponly',
  'max-age',
  'partitioned',
  'path',
  'samesite',
  'secure',
  'version',
]);

/** As the laxest parsers compare names: decoded, without case, all but letters and digits alike. */
function cookieForm(text: string): string {
  return text
    .replaceAll(/%[0-9a-f]{2}/gi, (escape) => String.fromCharCode(Number.parseInt(escape.slice(1), 16)))
    .toLowerCase()
    .replaceAll(/[^0-9a-z]/g, '-');
}
