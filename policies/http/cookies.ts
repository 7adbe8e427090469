/**
 * RFC 6265: cookies by name, as far as all origins read them alike. Parsers disagree about quotes, commas, repeated
 * names, white space, `$Version`, pairs without a name, and attribute names. RFC 6265 §4.1.1 allows none of these;
 * RFC 2109 allowed most. A field that has one of them is ambiguous.
 */
import { fieldValues, type Fields } from './fields.ts';

export type CookieReading =
  /** The values of the requested cookies, as sent. */
  | { readonly kind: 'read'; readonly values: ReadonlyMap<string, string> }
  /** Some parser may find another value for one of the names, or none. */
  | { readonly kind: 'ambiguous' };

export function readCookies(fields: Fields, names: readonly string[]): CookieReading {
  if (names.length === 0) return NOTHING;
  const sent = fieldValues(fields, 'cookie');
  if (sent.length === 0) return NOTHING;
  const forms = names.map(cookieForm);
  // A name that does not occur in the text is found by no parser.
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
      // Parsers that decode names also strip leading white space and end a name at NUL: `+NAME`, `%20NAME`,
      // `NAME%00`.
      if (/[%+]/.test(name) && forms.some((wanted) => form.includes(wanted))) return AMBIGUOUS;
      continue;
    }
    if (!names.includes(name) || values.has(name)) return AMBIGUOUS;
    values.set(name, value);
  }
  return { kind: 'read', values };
}

/** RFC 9113 §8.2.3: joins several Cookie fields into one, because origins differ in which one they read. */
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

/** Servers with a limit (Tomcat, PHP, Go) drop or refuse further cookies. Browsers keep no more than this. */
const MOST_COOKIES = 180;

/** RFC 6265 §4.2.1 requires the space; many clients omit it and all parsers skip it. */
const SEPARATOR = /; */;

/**
 * RFC 6265 §4.1.1: a token that is not an attribute of RFC 2109, and cookie-octets with or without a pair of quotes.
 */
const COOKIE_PAIR =
  /^([!#%&'*+\-.^_`|~0-9A-Za-z][!#$%&'*+\-.^_`|~0-9A-Za-z]*)=([\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*|"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")$/;

/** Names that parsers with support for cookie attributes take for attributes. */
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

/** The form in which the most lenient parsers compare names: decoded, case-insensitive, letters and digits only. */
function cookieForm(text: string): string {
  return text
    .replaceAll(/%[0-9a-f]{2}/gi, (escape) => String.fromCharCode(Number.parseInt(escape.slice(1), 16)))
    .toLowerCase()
    .replaceAll(/[^0-9a-z]/g, '-');
}
