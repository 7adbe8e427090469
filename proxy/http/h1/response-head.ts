/**
 * RFC 9112 §4, §5, §6: the head of a response as text. The connection decides the framing and its own persistence; a field that
 * can't be written is left out, for nothing may fail while a response is sent.
 */
import type { Fields } from '../../../policies/http/fields.ts';
import type { SharedFields, SharedLines } from '../../../policies/http/shared-fields.ts';
import { REASON_PHRASES } from '../reason-phrases.ts';
import { latin1Of } from './latin1.ts';

/**
 * A number of bytes; `as-given`: the fields' own length, for responses whose content is omitted; `none`: no length, for the
 * content ends with the connection or there is none; `chunked`: no length, and trailers may follow.
 */
export type Framing = number | 'as-given' | 'none' | 'chunked';

export interface RenderedHead {
  /** With its empty line, as latin1. */
  readonly text: string;
  /** The names of fields that can't be written (RFC 9110 §5.5). */
  readonly dropped: readonly string[];
}

/** `persistence`: the lines that say whether the connection goes on. Without a Date among the fields, one of now is added. */
export function renderHead(
  status: number,
  fields: Fields,
  framing: Framing,
  persistence: string,
): RenderedHead {
  const dropped: string[] = [];
  const lines = renderLines(fields, framing, dropped);
  const declaredBytes = framing === 'as-given' ? declaredLength(fields) : null;
  const start = status === 200 ? OK_LINE : statusLine(status);
  const end = endOfHead(framing, declaredBytes, hasDate(fields));
  return { text: `${start}${lines}${end}${persistence}\r\n`, dropped };
}

/** As `renderHead` of the shared fields followed by `own`, never chunked. The lines of both are made once. */
export function renderSharedHead(
  status: number,
  shared: SharedFields,
  own: SharedFields,
  framing: Exclude<Framing, 'chunked'>,
  persistence: string,
): RenderedHead {
  let dropped: string[] = NONE_DROPPED;
  if (shared.lines === null || own.lines === null) {
    dropped = [];
    shared.lines ??= linesOf(shared.fields, dropped);
    own.lines ??= linesOf(own.fields, dropped);
  }
  const first = shared.lines;
  const second = own.lines;
  const start = status === 200 ? OK_LINE : statusLine(status);
  const end = endOfHead(framing, first.declaredBytes, first.hasDate || second.hasDate);
  return { text: `${start}${first.text}${second.text}${end}${persistence}\r\n`, dropped };
}

const NONE_DROPPED: string[] = [];

function linesOf(fields: Fields, dropped: string[]): SharedLines {
  const text = renderLines(fields, 'none', dropped);
  // In one piece: what V8 has concatenated it would join anew for each response.
  const bytes = Buffer.from(text, 'latin1');
  const flat = latin1Of(bytes, 0, bytes.length);
  return { text: flat, declaredBytes: declaredLength(fields), hasDate: hasDate(fields) };
}

/** The lines of the fields that can be written and do not frame the message. */
function renderLines(fields: Fields, framing: Framing, dropped: string[]): string {
  let lines = '';
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i]!;
    if (isFraming(name, name.length, framing)) continue;
    const value = fields[i + 1]!;
    if (isWritable(name, value)) lines += `${name}: ${value}\r\n`;
    else dropped.push(name);
  }
  return lines;
}

function endOfHead(framing: Framing, declaredBytes: number | null, isDated: boolean): string {
  const date = isDated ? '' : dateLine();
  if (framing === 'chunked') return `Transfer-Encoding: chunked\r\n${date}`;
  if (framing === 'none') return date;
  const bytes = framing === 'as-given' ? declaredBytes : framing;
  return bytes === null ? date : `Content-Length: ${bytes}\r\n${date}`;
}

function hasDate(fields: Fields): boolean {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i]!.length === 4 && fields[i]!.toLowerCase() === 'date') return true;
  }
  return false;
}

/** Of an interim response or a switch of protocols: what can be written of the fields, and `more` lines. */
export function renderInterim(status: number, fields: Fields, more: string): string {
  let text = statusLine(status);
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i]!;
    const value = fields[i + 1]!;
    if (isFraming(name, name.length, 'none') || !isWritable(name, value)) continue;
    text += `${name}: ${value}\r\n`;
  }
  return `${text}${more}\r\n`;
}

/** RFC 9112 §7.1.2: trailers as lines, without those that can't be written. */
export function renderTrailers(trailers: Fields): string {
  let text = '';
  for (let i = 0; i + 1 < trailers.length; i += 2) {
    if (isWritable(trailers[i]!, trailers[i + 1]!)) text += `${trailers[i]}: ${trailers[i + 1]}\r\n`;
  }
  return text;
}

/** The length that the fields declare; null: none, or not a valid one. */
export function declaredLength(fields: Fields): number | null {
  let declared: number | null = null;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i]!.length !== 14 || fields[i]!.toLowerCase() !== 'content-length') continue;
    const value = fields[i + 1]!;
    if (!/^\d{1,16}$/.test(value) || (declared !== null && declared !== Number(value))) return null;
    declared = Number(value);
  }
  return declared;
}

/** RFC 9110 §5.1, §5.5. */
export function isWritable(name: string, value: string): boolean {
  return TOKEN_ALONE.test(name) && !UNWRITABLE.test(value);
}

const TOKEN_ALONE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const UNWRITABLE = /[^\t\x20-\x7e\x80-\xff]/;
const OK_LINE = statusLine(200);

/** A status without a phrase keeps the space before it (RFC 9112 §4). */
function statusLine(status: number): string {
  return `HTTP/1.1 ${status} ${REASON_PHRASES[status] ?? ''}\r\n`;
}

/**
 * Fields that only the connection may write (RFC 9110 §7.6.1), its lengths, and a Trailer where no trailers can follow
 * (RFC 9110 §6.6.2).
 */
function isFraming(name: string, length: number, framing: Framing): boolean {
  switch (length) {
    case 7:
      return framing !== 'chunked' && name.toLowerCase() === 'trailer';
    case 10: {
      const lower = name.toLowerCase();
      return lower === 'connection' || lower === 'keep-alive';
    }
    case 14:
      return name.toLowerCase() === 'content-length';
    case 16:
      return name.toLowerCase() === 'proxy-connection';
    case 17:
      return name.toLowerCase() === 'transfer-encoding';
    default:
      return false;
  }
}

let dateSecond = 0;
let dateText = '';

/** RFC 9110 §6.6.1; made anew once a second. */
function dateLine(): string {
  const second = Math.floor(Date.now() / 1_000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = `Date: ${new Date(second * 1_000).toUTCString()}\r\n`;
  }
  return dateText;
}
