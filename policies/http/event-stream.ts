/** HTML Living Standard §9.2: event streams, whose content has no end and whose readers reconnect. */
import { fieldValue, isNamed, remembered, trimmed, type Fields } from './fields.ts';

const MEDIA_TYPE = 'text/event-stream';

/** Whether a response's content is an event stream. */
export function isEventStream(fields: Fields): boolean {
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (isNamed(fields[i]!, 'content-type') && isMediaType(fields[i + 1]!)) return true;
  }
  return false;
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
  return isMediaType(fieldValue(fields, 'accept') ?? '');
}

/** Whether it is the type of event streams, with parameters or without. */
const isMediaType = remembered((value) => trimmed(value.split(';', 1)[0]!).toLowerCase() === MEDIA_TYPE);
