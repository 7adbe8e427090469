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
