/** RFC 9110 §5.6.2, §5.5 and RFC 3986 §2: the bytes that each part of a message may hold, as tables by byte. */

/** RFC 9110 §5.6.2: 1 for the bytes of a token. */
export const TOKEN = tableOf((byte) => /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(String.fromCodePoint(byte)));

/** 1 for the bytes of a token that are neither letters, digits nor hyphens. */
export const ODD_IN_NAMES = tableOf((byte) => /[!#$%&'*+.^_`|~]/.test(String.fromCodePoint(byte)));

/** RFC 9110 §5.5: 1 for the bytes of a field's value, white space and obs-text included. */
export const FIELD_VALUE = tableOf((byte) => byte === 0x09 || (byte >= 0x20 && byte !== 0x7f));

/** RFC 9112 §3.2: 1 for the bytes of a request target: visible ASCII without `#`, for a target has no fragment. */
export const TARGET = tableOf((byte) => byte > 0x20 && byte < 0x7f && byte !== 0x23);

/** RFC 9110 §5.6.4: 1 for the bytes that stand for themselves in a quoted string. */
export const QUOTED = tableOf((byte) => FIELD_VALUE[byte] === 1 && byte !== 0x22 && byte !== 0x5c);

export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SPACE = 0x20;

function tableOf(isIn: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (isIn(byte) ? 1 : 0));
}
