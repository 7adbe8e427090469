/** A request in undici's form. undici writes the fields for framing and for the connection. */
import type { Dispatcher } from 'undici';
import { withoutFields, type Fields } from '../../policies/http/fields.ts';
import type { OriginRequest } from '../origin.ts';

/** `servername` is an option that undici's types lack. */
export type RequestOptions = Dispatcher.DispatchOptions & { readonly servername: string };

/** `upgrade`: the protocol to switch to; null: none. */
export function dispatchOptions(
  request: OriginRequest,
  upgrade: string | null,
  serverName: string,
): RequestOptions {
  const streams = request.body !== null && !(request.body instanceof Uint8Array);
  return {
    method: request.method,
    path: request.path,
    headers: endToEndFields(request.fields, streams ? connectionFields : framingFields),
    body: request.body,
    upgrade,
    // The call times the body itself, because only the head says whether it is an event stream.
    bodyTimeout: 0,
    // Without it undici would take the server name from Host, and open a new connection for each name that clients
    // send.
    servername: serverName,
  };
}

/** Nearly all requests have none of these fields: then no copy is made. */
function endToEndFields(fields: Fields, removed: ReadonlySet<string>): string[] {
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!;
    if (REMOVED_LENGTHS.has(name.length) && removed.has(name.toLowerCase())) {
      return withoutFields(fields, removed);
    }
  }
  // undici reads the array and does not change it.
  return fields as string[];
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
const REMOVED_LENGTHS: ReadonlySet<number> = new Set([...framingFields].map(({ length }) => length));
