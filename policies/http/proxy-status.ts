/** RFC 9209: Proxy-Status, which says why Weir itself responds with an error. */
import { sfString } from './cache-status.ts';

export interface ProxyStatus {
  /** An error type of §2.3. */
  readonly error: string;
  /** The status of the origin's response, where there was one. */
  readonly receivedStatus?: number;
  /** The origin's name. */
  readonly nextHop?: string;
  /** For operators; contains no secrets. */
  readonly details?: string;
}

/** Weir's own member, to be appended to those of proxies at the origin (§2). */
export function proxyStatus(status: ProxyStatus): string {
  let text = `weir; error=${status.error}`;
  if (status.receivedStatus !== undefined) text += `; received-status=${status.receivedStatus}`;
  if (status.nextHop !== undefined) text += `; next-hop=${sfString(status.nextHop)}`;
  if (status.details !== undefined) text += `; details=${sfString(status.details)}`;
  return text;
}
