import { randomBytes } from 'node:crypto';
import { cacheStatus, remainingSeconds, type CacheStatus } from '../../policies/http/cache-status.ts';
import { downstreamAgeSeconds, staleFields } from '../../policies/http/downstream.ts';
import { fieldValue, hasField, withoutFields, type Fields } from '../../policies/http/fields.ts';
import { VIA } from '../../policies/http/forwarding.ts';
import type { SharedFields } from '../../policies/http/shared-fields.ts';
import { POSITION_FIELD } from '../../policies/position-field.ts';
import { evaluatePreconditions } from '../../policies/rfc9110/preconditions.ts';
import {
  BOUNDARY_LENGTH,
  decideRange,
  multipartLayout,
  type ByteRange,
} from '../../policies/rfc9110/ranges.ts';
import { decidePart } from '../../policies/rfc9111/parts.ts';
import { currentAgeSeconds, formatAge } from '../../policies/rfc9111/freshness.ts';
import { readBytes, readFlight, readStored, type ContentReader } from '../store/content.ts';
import type { Tiers } from '../store/tiers.ts';
import type { StoredEntry } from '../store/entry.ts';
import type { FlightBody } from '../store/body.ts';
import { ERROR_RESPONSES, errorDocument } from '../http/error-responses.ts';
import { sendContent } from './send-content.ts';
import { keyedStatus, type KeyedContext } from './context.ts';
import { HitFields } from './hit-fields.ts';

/** An entry as it is sent to one client. */
export interface EntryResponse {
  readonly entry: StoredEntry;
  /** The content while it is being stored; null: it is in the entry or on disk. */
  readonly body: FlightBody | null;
  /** Without the key, which `keyedStatus` adds. */
  readonly status: CacheStatus;
  /** Fields that only this client is sent. */
  readonly ownFields: Fields;
  readonly nowMs: number;
  /** The lifetime that applies to the entry now. */
  readonly lifetimeSeconds: number;
  /** The response is stale, and must be so for downstream caches as well. */
  readonly isStale: boolean;
}

/**
 * Responds with an entry: the client's own conditions first (RFC 9110 §13.2.2), then ranges, then HEAD. Returns the status
 * that was sent, or why nothing was: `to-origin`, the origin has to evaluate the conditions; `damaged`, the first content to
 * send is missing or damaged on disk, and the entry is to be discarded.
 */
export function respondWithEntry(
  context: KeyedContext,
  tiers: Tiers,
  answer: EntryResponse,
): number | 'to-origin' | 'damaged' {
  const { entry, nowMs } = answer;
  const { exchange, request } = context;
  const condition = evaluatePreconditions(request, entry.meta, nowMs);
  if (condition === 'failed') return 'to-origin';
  if (condition === 'not-modified') {
    const { targetedFields } = context.route.config.cache;
    exchange.respondShared(304, entry.notModified(targetedFields), sharedOwnFields(context, answer), null);
    return 304;
  }
  if (entry.meta.part !== null) {
    const wanted = decidePart(request, entry.meta);
    if (!isReadable(context, tiers, answer, [wanted.kind === 'insufficient' ? 0 : wanted.offset]))
      return 'damaged';
    sendPart(context, tiers, answer, wanted);
    return 206;
  }
  const size = entry.head.sizeBytes;
  if (size >= 0 && request.method === 'GET' && hasField(request.fields, 'range')) {
    const range = decideRange(request, entry.meta, size);
    switch (range.kind) {
      case 'whole':
        break;
      case 'single':
        if (!isReadable(context, tiers, answer, [range.range.first])) return 'damaged';
        sendRange(context, tiers, answer, range.range, range.contentRange);
        return 206;
      case 'multiple':
        if (!isReadable(context, tiers, answer, firstsOf(range.ranges))) return 'damaged';
        sendRanges(context, tiers, answer, range.ranges);
        return 206;
      case 'unsatisfiable':
        sendUnsatisfiable(context, answer, range.contentRange);
        return 416;
      default:
        range satisfies never;
    }
  }
  if (!isReadable(context, tiers, answer, [0])) return 'damaged';
  sendWhole(context, tiers, answer);
  return entry.meta.status;
}

function firstsOf(ranges: readonly ByteRange[]): number[] {
  return ranges.map(({ first }) => first);
}

/** Whether the content can be read at these positions. After the head, the response could only be cut. */
function isReadable(
  { exchange }: KeyedContext,
  tiers: Tiers,
  { entry, body }: EntryResponse,
  positions: readonly number[],
): boolean {
  if (entry.content !== null || body !== null || exchange.method === 'HEAD') return true;
  const { head } = entry;
  return positions.every((at) => at >= head.sizeBytes || (tiers.disk?.read(head, at) ?? null) !== null);
}

function sendWhole(context: KeyedContext, tiers: Tiers, answer: EntryResponse): void {
  const { entry } = answer;
  const { exchange } = context;
  const { status } = entry.meta;
  const own = sharedOwnFields(context, answer);
  if (exchange.method === 'HEAD') exchange.respondShared(status, entry.shared, own, null);
  else if (entry.content !== null) exchange.respondShared(status, entry.shared, own, entry.content);
  else {
    const fields = entry.sentFields.concat(own.fields);
    sendFrom(context, tiers, answer, { status, fields, first: 0, lengthBytes: Number.POSITIVE_INFINITY });
  }
}

/** The requested range of a stored part; the whole part, if the origin sent another range than was requested. */
function sendPart(
  context: KeyedContext,
  tiers: Tiers,
  answer: EntryResponse,
  wanted: ReturnType<typeof decidePart>,
): void {
  if (wanted.kind === 'insufficient') {
    sendWhole(context, tiers, answer);
    return;
  }
  const { offset, lengthBytes, contentRange } = wanted;
  sendRange(context, tiers, answer, { first: offset, last: offset + lengthBytes - 1 }, contentRange);
}

/** `range` is within the stored content. */
function sendRange(
  context: KeyedContext,
  tiers: Tiers,
  answer: EntryResponse,
  range: ByteRange,
  contentRange: string,
): void {
  const { entry } = answer;
  const lengthBytes = range.last - range.first + 1;
  const fields = fieldsOf(context, answer, [
    ...withoutFields(entry.sentFields, LENGTH_AND_RANGE),
    'Content-Range',
    contentRange,
    'Content-Length',
    String(lengthBytes),
  ]);
  if (entry.content !== null) {
    context.exchange.respond(206, fields, entry.content.subarray(range.first, range.last + 1));
  } else sendFrom(context, tiers, answer, { status: 206, fields, first: range.first, lengthBytes });
}

/** RFC 9110 §14.6. Each part is read in turn; only one chunk is in memory at a time. */
function sendRanges(
  context: KeyedContext,
  tiers: Tiers,
  answer: EntryResponse,
  ranges: readonly ByteRange[],
): void {
  const { entry } = answer;
  const layout = multipartLayout(ranges, {
    type: fieldValue(entry.sentFields, 'content-type'),
    sizeBytes: entry.head.sizeBytes,
    boundary: randomBytes(BOUNDARY_LENGTH / 2).toString('hex'),
  });
  const fields = fieldsOf(context, answer, [
    ...withoutFields(entry.sentFields, LENGTH_AND_TYPE),
    'Content-Type',
    layout.contentType,
    'Content-Length',
    String(layout.contentLength),
  ]);
  const { exchange } = context;
  const sink = exchange.stream(206, fields);
  let wake: () => void = () => {};
  const parts: (() => ContentReader)[] = ranges.flatMap((range, i) => [
    () => readBytes(Buffer.from(layout.heads[i]!, 'latin1'), 0),
    () =>
      limited(
        readerOf(tiers, answer, range.first, () => wake()),
        range.last - range.first + 1,
      ),
  ]);
  parts.push(() => readBytes(Buffer.from(layout.tail, 'latin1'), 0));
  wake = sendContent(inTurn(parts), exchange, sink, Number.POSITIVE_INFINITY);
  wake();
}

function sendUnsatisfiable(context: KeyedContext, answer: EntryResponse, contentRange: string): void {
  const document = errorDocument(ERROR_RESPONSES['range-not-satisfiable']);
  const status = cacheStatus(keyedStatus(context, answer.status));
  const fields = [...document.fields, 'Content-Range', contentRange, 'Cache-Status', status, 'Via', VIA];
  context.exchange.respond(416, fields, document.content);
}

function sendFrom(
  context: KeyedContext,
  tiers: Tiers,
  answer: EntryResponse,
  part: { status: number; fields: Fields; first: number; lengthBytes: number },
): void {
  const { exchange } = context;
  const sink = exchange.stream(part.status, part.fields);
  let wake: () => void = () => {};
  const reader = readerOf(tiers, answer, part.first, () => wake());
  wake = sendContent(reader, exchange, sink, part.lengthBytes);
  wake();
}

function readerOf(tiers: Tiers, answer: EntryResponse, first: number, onProgress: () => void): ContentReader {
  const { entry, body } = answer;
  if (entry.content !== null) return readBytes(entry.content, first);
  const place = { head: entry.head, tiers };
  if (body !== null) return readFlight(body, tiers.disk === null ? null : place, first, onProgress);
  return readStored(place, first, onProgress);
}

const hitFields = new HitFields();

/** What is sent besides the entry's fields. Fresh hits share it, except where the client is also sent a key or a position. */
function sharedOwnFields(context: KeyedContext, answer: EntryResponse): SharedFields {
  const { status, ownFields, isStale } = answer;
  const isPlain = !isStale && status.hit === true && status.detail === undefined && ownFields.length === 0;
  if (isPlain && context.position === null && !context.configuration.config.cacheStatus.key) {
    const ageSeconds = Math.floor(sentAgeSeconds(context, answer));
    return hitFields.of(ageSeconds, remainingSeconds(status.ttlSeconds ?? 0));
  }
  return { fields: ownFieldsOf(context, answer), lines: null };
}

function fieldsOf(context: KeyedContext, answer: EntryResponse, fields: Fields): Fields {
  return fields.concat(ownFieldsOf(context, answer));
}

function ownFieldsOf(context: KeyedContext, answer: EntryResponse): Fields {
  const { status, ownFields } = answer;
  const ageSeconds = sentAgeSeconds(context, answer);
  const all = [...ownFields];
  // A response fresh from the origin has no age but the one that it brought (RFC 9111 §5.1).
  if (answer.isStale) all.push(...staleFields(answer.entry.sentFields, answer.entry.meta.dateMs, ageSeconds));
  else if (status.hit || ageSeconds >= 1) all.push('Age', formatAge(ageSeconds));
  all.push('Cache-Status', cacheStatus(keyedStatus(context, status)));
  // A response that may be older than an invalidation claims no position.
  if (context.position !== null && !answer.entry.possiblyStale)
    all.push(POSITION_FIELD, context.position.field);
  return all;
}

function sentAgeSeconds(context: KeyedContext, { entry, nowMs, lifetimeSeconds }: EntryResponse): number {
  const { cache } = context.route.config;
  const ageSeconds = currentAgeSeconds(entry.meta, nowMs);
  return downstreamAgeSeconds(entry.meta, cache, {
    ageSeconds,
    lifetimeSeconds,
    stated: () => entry.told(cache),
  });
}

const LENGTH_AND_RANGE: ReadonlySet<string> = new Set(['content-length', 'content-range']);
const LENGTH_AND_TYPE: ReadonlySet<string> = new Set(['content-length', 'content-type']);

/** Reads several readers in turn; each is made when the one before it ends. */
function inTurn(parts: readonly (() => ContentReader)[]): ContentReader {
  let at = 0;
  let current = parts[0]!();
  return {
    next() {
      for (;;) {
        const piece = current.next();
        if (piece.kind !== 'end' || at === parts.length - 1) return piece;
        current.close();
        at += 1;
        current = parts[at]!();
      }
    },
    advance: (bytes) => current.advance(bytes),
    close: () => current.close(),
  };
}

/** The first `lengthBytes` of a reader. */
function limited(reader: ContentReader, lengthBytes: number): ContentReader {
  let left = lengthBytes;
  return {
    next() {
      if (left === 0) return { kind: 'end', trailers: [] };
      const piece = reader.next();
      if (piece.kind !== 'bytes' || piece.bytes.byteLength <= left) return piece;
      return { kind: 'bytes', bytes: piece.bytes.subarray(0, left) };
    },
    advance(bytes) {
      left -= bytes;
      reader.advance(bytes);
    },
    close: () => reader.close(),
  };
}
