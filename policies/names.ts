/**
 * The normal form of names. A name arrives as bytes of a field, as escapes in a URL, in JSON or in YAML. Tags,
 * groups, hosts and parameters are compared only in the form that this file produces.
 */

/** Unicode NFC: composed and decomposed characters are the same name. */
export function normalName(text: string): string {
  return isAscii(text) ? text : text.toWellFormed().normalize('NFC');
}

/**
 * The text of a field value that has one character for each byte: UTF-8 where the bytes are valid UTF-8, otherwise
 * ISO-8859-1.
 */
export function textOfBytes(bytes: string): string {
  if (isAscii(bytes)) return bytes;
  return bytes.replaceAll(UTF8_SEQUENCE, (sequence) => Buffer.from(sequence, 'latin1').toString('utf8'));
}

/** Percent-decoded; the bytes are read as by `textOfBytes`. */
export function decodedEscapes(text: string): string {
  if (!text.includes('%')) return text;
  return text.replaceAll(/(?:%[0-9a-f]{2})+/gi, (run) =>
    textOfBytes(Buffer.from(run.replaceAll('%', ''), 'hex').toString('latin1')),
  );
}

/**
 * An authority in the form in which clients send it: lower case, IDNs in Punycode, without a final dot or an empty
 * port. Null where it is not a host with an optional port.
 */
export function normalAuthority(text: string): string | null {
  if (PLAIN_AUTHORITY.test(text)) return text;
  const match = /^(\[[^[\]]*\]|[^:[\]]*)(?::(\d*))?$/.exec(text);
  const host = match === null ? null : normalHost(match[1]!);
  if (host === null) return null;
  const port = match![2] ?? '';
  return port === '' ? host : `${host}:${Number(port)}`;
}

function normalHost(text: string): string | null {
  if (text.startsWith('[')) return URL.parse(`http://${text}/`)?.hostname ?? null;
  const lower = decodedEscapes(text).toLowerCase();
  const ascii = isAscii(lower) ? lower : punycode(lower);
  const host = ascii.endsWith('.') ? ascii.slice(0, -1) : ascii;
  return HOST.test(host) ? host : null;
}

/** Empty where it is not a host. */
function punycode(host: string): string {
  return /[\s/?#@\\]/.test(host) ? '' : (URL.parse(`http://${host}/`)?.hostname ?? '');
}

const PLAIN_AUTHORITY = /^[0-9a-z_-]+(?:\.[0-9a-z_-]+)*(?::[1-9]\d*)?$/;
/** RFC 3986 §3.2.2: reg-name, without escapes. */
const HOST = /^[a-z0-9\-._~!$&'()*+,;=]+$/;

/** RFC 3629 §4: sequences of two to four bytes. */
const UTF8_SEQUENCE =
  /[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}/g;

function isAscii(text: string): boolean {
  return !BEYOND_ASCII.test(text);
}

const BEYOND_ASCII = /[^\0-\x7f]/;
