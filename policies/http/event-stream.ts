/** Streams of events (HTML Living Standard §9.2): content that goes on without an end, and whose readers connect anew. */
import { fieldValue, fieldValues, trimmed, type Fields } from './fields.ts';

const MEDIA_TYPE = 'text/event-stream';

/** Of a response: its content is such a stream. */
export function isEventStream(fields: Fields): boolean {
  return fieldValues(fields, 'content-type').some((type) => mediaType(type) === MEDIA_TYPE);
}

/** Of a request: it takes such a stream among others, so its answer may last, and is for this client alone. */
export function acceptsEventStream(fields: Fields): boolean {
  return fieldValue(fields, 'accept')?.includes(MEDIA_TYPE) === true;
}

/** Of a request: it takes nothing else, as those of an `EventSource`. */
export function acceptsEventStreamAlone(fields: Fields): boolean {
  return mediaType(fieldValue(fields, 'accept') ?? '') === MEDIA_TYPE;
}

/** Without parameters, in lower case. */
function mediaType(value: string): string {
  return trimmed(value.split(';', 1)[0]!).toLowerCase();
}
