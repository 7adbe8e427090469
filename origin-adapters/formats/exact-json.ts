import type { Data } from '../../policies/change.ts';

export type ExactJson =
  { readonly kind: 'data'; readonly data: Data } | { readonly kind: 'malformed'; readonly reason: string };

/**
 * Reads UTF-8 JSON (RFC 8259) without rounding: an integer that a double can't hold stays as its text, so that an id of
 * 64 bits names the same thing here as at the origin.
 */
export function parseExactJson(bytes: Uint8Array): ExactJson {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return { kind: 'data', data: JSON.parse(text, exact as Reviver) as Data };
  } catch (error) {
    // Bad UTF-8, bad JSON, or nested so deep that the reviver ran out of stack.
    return { kind: 'malformed', reason: error instanceof Error ? error.message : String(error) };
  }
}

type Reviver = (name: string, value: unknown) => unknown;

function exact(_name: string, value: unknown, context: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  const source = context.source;
  return source !== undefined && /^-?\d+$/.test(source) ? source : value;
}
