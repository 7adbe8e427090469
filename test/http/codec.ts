/** Reads bytes as messages with only the codec, without sockets, in segments of any sizes. */
import type { ListenLimits } from '../../policies/config/config.ts';
import { ChunkedDecoder } from '../../proxy/http/h1/chunked-decoder.ts';
import { HeadParser } from '../../proxy/http/h1/head-parser.ts';
import { readRequestHead } from '../../proxy/http/request-head.ts';

export interface ReadMessage {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly fields: readonly string[];
  readonly content: string;
  readonly trailers: readonly string[];
}

export interface Reading {
  /** The complete messages, up to the first one that is rejected or ends the connection. */
  readonly messages: readonly ReadMessage[];
  /** Why the bytes after these are rejected: the sentence of a fault, or a code; null if they are not. */
  readonly refusal: string | null;
  /** Of the byte that is refused, from the first one on. */
  readonly refusedAt: number;
}

/** The previous message ends the connection, so that the following bytes are ignored. */
export const AFTER_THE_LAST = 'after the last message';

/** Larger than what the fuzzers send. */
export const WIDE_LIMITS: ListenLimits = {
  urlBytes: 60_000,
  headersBytes: 60_000,
  headerCount: 2_000,
  bodyBytes: 1_000_000,
  requestMs: 20_000,
  bodyBytesPerSecond: 0,
  bodyGraceMs: 20_000,
  totalMs: null,
  idleMs: 20_000,
  tunnelMs: 20_000,
  connections: 10_000,
};

/** Upgrades are ignored: the following bytes are read as requests. */
export function readMessages(pieces: readonly Buffer[], limits: ListenLimits = WIDE_LIMITS): Reading {
  const parser = new HeadParser(limits);
  const messages: ReadMessage[] = [];
  let message: (ReadMessage & { content: string; trailers: readonly string[] }) | null = null;
  let decoder: ChunkedDecoder | null = null;
  let left = 0;
  let persists = true;
  let before = 0;
  for (const piece of pieces) {
    // The decoder moves content within its chunk.
    const chunk = Buffer.from(piece);
    for (let at = 0; at < chunk.length;) {
      if (message === null) {
        if (!persists) return { messages, refusal: AFTER_THE_LAST, refusedAt: before + at };
        at = parser.read(chunk, at);
        if (parser.fault !== null) {
          return { messages, refusal: describe(parser.fault), refusedAt: before + at };
        }
        if (parser.head === null) continue;
        const head = readRequestHead(parser.head, 'http', { limits, underscores: 'keep' });
        if (head.kind === 'refused') {
          return { messages, refusal: String(head.problem.content), refusedAt: before + at };
        }
        const { method, target, minor, fields } = parser.head;
        message = { method, target, version: `1.${minor}`, fields, content: '', trailers: [] };
        persists = head.persists;
        left = head.content.kind === 'none' ? 0 : (head.content.bytes ?? 0);
        decoder =
          head.content.kind === 'some' && head.content.bytes === null ? new ChunkedDecoder(limits) : null;
      } else if (decoder === null) {
        const to = Math.min(chunk.length, at + left);
        message.content += chunk.toString('latin1', at, to);
        left -= to - at;
        at = to;
      } else {
        at = decoder.decode(chunk, at);
        message.content += chunk.toString('latin1', decoder.contentFrom, decoder.contentTo);
        if (decoder.fault !== null) {
          return { messages, refusal: describe(decoder.fault), refusedAt: before + at };
        }
        message.trailers = decoder.trailers;
      }
      if (decoder === null ? left === 0 : decoder.done) {
        messages.push(message);
        message = null;
        decoder = null;
      }
    }
    before += chunk.length;
  }
  return { messages, refusal: null, refusedAt: before };
}

function describe({ code, values }: { code: string; values: Readonly<Record<string, unknown>> }): string {
  return typeof values['fault'] === 'string' ? values['fault'] : code;
}
