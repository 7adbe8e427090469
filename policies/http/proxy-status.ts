/** Proxy-Status, RFC 9209: why Weir itself answers with an error. */
import { sfString } from './cache-status.ts';

export interface ProxyStatus {
  /** A type of §2.3. */
  readonly error: string;
  /** Of the origin's answer, where there was one. */
  readonly receivedStatus?: number;
  /** The origin's name. */
  readonly nextHop?: string;
  /** For operators; no secrets. */
  readonly details?: string;
}

/** Weir's own member; appended to those of the proxies behind it (§2). */
export function proxyStatus(status: ProxyStatus): string {
  let text = `weir; error=${status.error}`;
  if (status.receivedStatus !== undefined) text += `; received-status=${status.receivedStatus}`;
  if (status.nextHop !== undefined) text += `; next-hop=${sfString(status.nextHop)}`;
  if (status.details !== undefined) text += `; details=${sfString(status.details)}`;
  return text;
}

/** §2.3, of a request that goes no further: it could not be read as it should, or a rule or limit of ours is against it. */
export function errorOfRefusal(status: number): string {
  switch (status) {
    case 400:
    case 408:
    case 417:
    case 421:
    case 501:
    case 505:
      return 'http_request_error';
    case 500:
      return 'proxy_internal_error';
    case 502:
      return 'http_protocol_error';
    default:
      return 'http_request_denied';
  }
}
