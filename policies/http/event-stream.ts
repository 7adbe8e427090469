/** HTML Living Standard §9.2: event streams, whose content has no end and whose readers reconnect. */
import { fieldValue, fieldValues, trimmed, type Fields } from './fields.ts';

const MEDIA_TYPE = 'text/event-stream';

/** Whether a response's content is an event stream. */
export function isEventStream(fields: Fields): boolean {
  return fieldValues(fields, 'content-type').some((type) => mediaType(type) === MEDIA_TYPE);
}

/**
 * Whether a request accepts an event stream, possibly among other types. Its response may be endless and is for this
 * client alone.
 */
export function acceptsEventStream(fields: Fields): boolean {
  return fieldValue(fields, 'accept')?.includes(MEDIA_TYPE) === true;
}

/** Whether a request accepts only an event stream, as an `EventSource` does. */
export function acceptsEventStreamAlone(fields: Fields): boolean {
  return mediaType(fieldValue(fields, 'accept') ?? '') === MEDIA_TYPE;
}

/** Without parameters, in lower case. */
function mediaType(value: string): string {
  return trimmed(value.split(';', 1)[0]!).toLowerCase();
}
