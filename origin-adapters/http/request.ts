/** A request in undici's form. undici writes the fields for framing and for the connection. */
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
    // The attempt times the body itself, because only the head says whether it is an event stream.
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
/** undici knows the length of content that is complete or absent; for a stream only Content-Length gives it. */
const framingFields: ReadonlySet<string> = new Set([...connectionFields, 'content-length']);
