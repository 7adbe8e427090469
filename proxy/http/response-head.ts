/**
 * Fits a response's fields to the connection: the listener decides the framing (RFC 9112 §6), and a field that can't be
 * written must not throw while a response is sent.
 */
import { validateHeaderName, validateHeaderValue } from 'node:http';
import type { Fields } from '../../policies/http/fields.ts';

/**
 * A number of bytes. `as-given`: the length in the fields, for responses whose content is omitted. `none`: no length, because
 * the content ends with the connection or there is none. `chunked`: no length; trailers may follow.
 */
export type Framing = number | 'as-given' | 'none' | 'chunked';

/**
 * The fields with one correct Content-Length, Connection as given (null: Node writes it), and no other connection-specific
 * field. Fields that are right already, such as those of stored responses, are returned without a copy.
 */
export function frameFields(
  fields: Fields,
  length: Framing,
  connection: 'close' | 'keep-alive' | null,
): Fields {
  return connection === null && isFramed(fields, length) ? fields : reframe(fields, length, connection);
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

/** The fields that can be written, and the names of those that can't (RFC 9110 §5.5). */
export function writableFields(fields: Fields): { readonly kept: string[]; readonly dropped: string[] } {
  const kept: string[] = [];
  const dropped: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (isWritable(fields[i]!, fields[i + 1]!)) kept.push(fields[i]!, fields[i + 1]!);
    else dropped.push(fields[i]!);
  }
  return { kept, dropped };
}

function isWritable(name: string, value: string): boolean {
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return true;
  } catch {
    return false;
  }
}

function isFramed(fields: Fields, length: Framing): boolean {
  let declared: string | null = null;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!;
    if (isLengthName(name)) {
      if (declared !== null) return false;
      declared = fields[i + 1]!;
    } else if (isConnectionName(name) || (length !== 'chunked' && isTrailerName(name))) return false;
  }
  if (length === 'none' || length === 'chunked') return declared === null;
  if (length === 'as-given') return declared === null || /^\d{1,16}$/.test(declared);
  return declared !== null && Number(declared) === length;
}

function reframe(fields: Fields, length: Framing, connection: string | null): string[] {
  const framed: string[] = [];
  const given = declaredLength(fields);
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i]!;
    if (isLengthName(name) || isConnectionName(name)) continue;
    if (length !== 'chunked' && isTrailerName(name)) continue;
    framed.push(name, fields[i + 1]!);
  }
  const declared = length === 'as-given' ? given : typeof length === 'number' ? length : null;
  if (declared !== null) framed.push('Content-Length', String(declared));
  if (connection !== null) framed.push('Connection', connection);
  return framed;
}

function isLengthName(name: string): boolean {
  return name.length === 14 && name.toLowerCase() === 'content-length';
}

/** The Trailer field announces trailers, which only the chunked coding can carry (RFC 9110 §6.6.2). */
function isTrailerName(name: string): boolean {
  return name.length === 7 && name.toLowerCase() === 'trailer';
}

/** Connection-specific fields, which only the listener may write (RFC 9110 §7.6.1). */
function isConnectionName(name: string): boolean {
  switch (name.length) {
    case 10: {
      const lower = name.toLowerCase();
      return lower === 'connection' || lower === 'keep-alive';
    }
    case 16:
      return name.toLowerCase() === 'proxy-connection';
    case 17:
      return name.toLowerCase() === 'transfer-encoding';
    default:
      return false;
  }
}
