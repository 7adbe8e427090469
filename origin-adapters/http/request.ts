/**
 * A request as undici wants it. What frames the message and what speaks of the connection is undici's to write.
 */
import type { Dispatcher } from 'undici';
import { withoutFields } from '../../policies/http/fields.ts';
import type { OriginRequest } from '../origin.ts';

export function dispatchOptions(request: OriginRequest, upgrade: string | null): Dispatcher.DispatchOptions {
  const streams = request.body !== null && !(request.body instanceof Uint8Array);
  return {
    method: request.method,
    path: request.path,
    headers: withoutFields(request.fields, streams ? connectionFields : framingFields),
    body: request.body,
    upgrade,
    // The attempt times the body itself: only the head says whether it is an event stream.
    bodyTimeout: 0,
  };
}

const connectionFields: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'expect',
]);
/** Of a body that is there whole, or absent, undici knows the length; of a stream only Content-Length tells it. */
const framingFields: ReadonlySet<string> = new Set([...connectionFields, 'content-length']);
