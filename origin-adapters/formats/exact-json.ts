import type { Data } from '../../policies/change.ts';

export type ExactJson =
  { readonly kind: 'data'; readonly data: Data } | { readonly kind: 'malformed'; readonly reason: string };

/**
 * RFC 8259: reads UTF-8 JSON without rounding. An integer beyond a double's precision stays text, so that a 64-bit id
 * is the same here as at the origin.
 */
export function parseExactJson(bytes: Uint8Array): ExactJson {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return { kind: 'data', data: JSON.parse(text, exact as Reviver) as Data };
  } catch (error) {
    // Invalid UTF-8 or JSON, or nested so deeply that the reviver exceeds the stack.
    return { kind: 'malformed', reason: error instanceof Error ? error.message : String(error) };
  }
}

type Reviver = (name: string, value: unknown) => unknown;

function exact(_name: string, value: unknown, context: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  const source = context.source;
  return source !== undefined && /^-?\d+$/.test(source) ? source : value;
}
